"""Parts of publish.py: the weights as they are given away (weights), the model card (card), the Space (space)."""
