"""Encoders from images to latent codes, and the critic that keeps the codes in the generator's distribution."""
