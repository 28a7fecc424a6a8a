"""Invertible maps between latent codes and a Gaussian, each with `forward`, `inverse` and `forward_and_log_det`.

`cnf.py` is SDFlow's Φ, `realnvp.py` the density of AdaTrans, `moving_batch_norm.py` the normalisation in Φ. The
differential equation of Φ: its right-hand side (`concat_squash.py` the network, `field.py` what a solver calls), its
solution by torchdiffeq (`solve.py`), and the solver that is used by default (`equal_steps.py`, `runge_kutta.py`).
"""
