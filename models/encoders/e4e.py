"""e4e: from a face to a latent code near the generator's own ("Designing an Encoder for StyleGAN Image Manipulation").

The network is pSp's; its heads are used differently: the first gives a style vector for all rows, the others the
difference of each further row to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.encoders.psp import GradualStyleEncoder, psp_sizes

e4e_sizes = psp_sizes  # the two encoders have the same keys and shapes


class E4eEncoder(GradualStyleEncoder):
    """pSp's network; head 0 gives a style vector for all rows, each other head the difference of its row to it.

    Arguments and errors are those of `GradualStyleEncoder`.

    Attributes:
        stage: progressive training: row 0 is head 0's vector, rows up to `stage` have their own head's difference added
            and the rest repeat row 0; `styles` - 1 (the value after construction) or more uses all heads.
    """

    _stage: int | None = None

    @property
    def stage(self) -> int:
        """Highest row that has its own head's difference added."""
        return self.style_count - 1 if self._stage is None else self._stage

    @stage.setter
    def stage(self, stage: int) -> None:
        if stage < 0:
            raise ValueError(f"stage is {stage}: stages count from 0 to {self.style_count - 1} (all heads)")
        self._stage = min(stage, self.style_count - 1)

    def decode_features(self, c1: Tensor, c2: Tensor, c3: Tensor) -> Tensor:
        """The latent code (B, styles, style_dim) of the trunk's features, for the present `stage`."""
        first, *differences = self.style_vectors(c1, c2, c3, self.stage + 1)
        rows = [first, *(first + difference for difference in differences)]
        rows += [first] * (self.style_count - len(rows))
        return torch.stack(rows, dim=1)
