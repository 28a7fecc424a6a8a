"""What `scripts/avatars/measure_domain.py` measures, a module for each kind of network."""
