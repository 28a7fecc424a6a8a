"""Comparison of this project's networks with recorded numbers of the published ones."""
