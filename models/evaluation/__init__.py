"""Protocols, measures, figures and reports of an evaluation."""
