"""Turning the files that S²-Flow's authors publish into what the commands take."""
