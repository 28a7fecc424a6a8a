"""Evaluation of editors that exchange identities."""
