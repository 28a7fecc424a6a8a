"""The page of SDFlow with the editor beside this file, as a Space of the Hugging Face Hub opens it."""

import os
from pathlib import Path

from scripts.page_parts.limits import Limits
from scripts.page_parts.serving import Server
from scripts.page_parts.workbench import open_bench
from utils.failures import explain_failures

HERE = Path(__file__).resolve().parent


def open_page() -> Server:
    """Serve the page: to everybody, unless GRADIO_SERVER_NAME names another address than that of all networks."""
    bench = open_bench(str(HERE / "editor.safetensors"))
    samples = sorted((HERE / "samples").iterdir())
    host, port = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"), int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    return Server([bench], samples, Limits(megabytes=20), host, port)


if __name__ == "__main__":
    explain_failures()
    open_page().wait()
