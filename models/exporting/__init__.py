"""An editor with its domain as programs that need none of this project: what they are (`parts.py`), as ONNX files
(`onnx_files.py`), and the data that joins them (`description.py`)."""
