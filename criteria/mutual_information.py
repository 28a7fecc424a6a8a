"""L_mi: the target semantics must be recovered from the edited image (paper, equation 6)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def mutual_information(recovered: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of E_s(Î) and ŝ, both (B, A); no gradient reaches ŝ.

    A lower bound of the mutual information of ŝ and Î up to constants. The paper prints E_s(I) in place of ŝ; its text
    and the authors' code use ŝ, as here.
    """
    return F.mse_loss(recovered, wanted.detach())
