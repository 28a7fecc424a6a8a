"""Invertible maps between latent codes and a Gaussian, conditioned on semantics."""
