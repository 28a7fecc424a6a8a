"""Finding the code of a picture."""
