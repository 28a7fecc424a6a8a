"""Editors: from a latent code and wanted attribute values to an edited latent code."""
