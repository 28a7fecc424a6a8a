"""Numbers, figures and reports of an evaluation; needs no networks."""
