"""A folder of photographs in, files with edits out: what edit.py does between its options and its report."""
