"""L_nll: negative log-likelihood of latent codes under the flow (paper, equation 3)."""

from __future__ import annotations

import math

from torch import Tensor


def negative_log_likelihood(z: Tensor, log_det: Tensor) -> Tensor:
    """−log p(w | s) in nats per dimension, mean over the batch.

    −log p(w) = −log N(z; 0, I) − log|det ∂z/∂w|. The authors' code counts the constant ½ log 2π of a dimension D times
    instead of once; their number is this one plus ½ (D − 1) log 2π, with the same gradient.

    Args:
        z: Gaussian codes (B, L, D).
        log_det: log|det ∂z/∂w| of each style vector, (B, L).
    """
    normal = 0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    return (normal - log_det.sum(1)).mean() / z[0].numel()
