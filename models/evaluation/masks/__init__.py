"""Evaluation of editors of masks and styles: what they reach of the mask and the truth that is known of drawn faces."""
