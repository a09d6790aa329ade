"""Keeps the best share of the documents."""

from typing import Literal

import numpy as np
from pydantic import Field

from tasks.steps.ranked import RankedSelection, share_of


class TopFraction(RankedSelection):
    """Keeps the documents with the highest scores: a share of each domain's documents, or of all together. Ties go by a hash of the id.

    Documents without a score (of domains that the scoring step skipped) stay, and don't count.
    """

    step: Literal["top-fraction"]
    fraction: float = Field(gt=0, le=1, description="of the documents; rounded up")

    def places(self, group: str, bytes_D: np.ndarray) -> tuple[int, int]:
        return 0, share_of(len(bytes_D), self.fraction)
