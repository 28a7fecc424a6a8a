"""Encoders from images to latent codes, and e4e's latent discriminator."""
