"""Editors: they move a latent code from one condition of its face to another, one module each."""
