"""Face parsing: the classes and their colours, networks that read and find masks, and edits of masks."""
