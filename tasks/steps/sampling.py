"""Draws documents with a probability that grows with their score."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.steps.base import StepContext
from tasks.steps.draws import gumbel, uniform
from tasks.steps.ranked import RankedSelection, share_of


class ScoreSampling(RankedSelection):
    """Draws a share of the documents without replacement, each with probability proportional to exp(score / temperature): QuRating's selection
    (arXiv 2402.09739, section 2.3; it standardises the score before, as `combine-scores` does, and finds temperature 2 good). With
    `log_importance` and temperature 1 it is DSIR's resampling (arXiv 2302.03169, section 3).

    Temperature to 0 gives `top-fraction`, a high one a uniform draw. Drawn by Gumbel's top-k: those with the highest score / temperature +
    Gumbel variable stay; this number is the `value` of what is removed.
    """

    step: Literal["score-sampling"]
    fraction: float = Field(gt=0, le=1, description="of the documents; rounded up")
    temperature: float = Field(default=1.0, gt=0, description="in units of the score")
    low_reason = "not drawn"

    def ranked_by(self, table: pa.Table, context: StepContext) -> pa.ChunkedArray | pa.Array:
        score = super().ranked_by(table, context)
        noise = pa.array(gumbel(uniform(table, context, self, f"draw by {self.score}")))
        return pc.add(pc.divide(score, pa.scalar(self.temperature)), noise)

    def places(self, group: str, bytes_D: np.ndarray) -> tuple[int, int]:
        return 0, share_of(len(bytes_D), self.fraction)
