"""Parts of the page: its users (sessions), what they may do (gate, limits), what is computed (workbench), how it looks.

Only `layout`, `panels` and `serving` import gradio.
"""
