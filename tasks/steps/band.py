"""Keeps the documents in the middle of a ranking, or at one of its ends."""

from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from tasks.steps.ranked import RankedSelection, share_of


class ScoreBand(RankedSelection):
    """Keeps the documents whose place in the ranking of their scores lies in a band: of perplexities the lowest, the middle or the highest (arXiv
    2309.04564, section 3.1, who find the middle best), of toxicity all but the most toxic, or all but the least toxic: the filter and the inverse
    filter (arXiv 2305.13169, section 2.2).

    Of N documents of a domain, best first, those from place ceil(start N) to before ceil(end N) stay; 0 is the highest score.
    """

    step: Literal["score-band"]
    start: float = Field(default=0.0, ge=0, lt=1, description="share of the documents with higher scores that goes")
    end: float = Field(default=1.0, gt=0, le=1, description="share of the documents behind which the rest goes")

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"score-band from start {self.start} to end {self.end} is empty")
        return self

    def places(self, group: str, bytes_D: np.ndarray) -> tuple[int, int]:
        return share_of(len(bytes_D), self.start), share_of(len(bytes_D), self.end)

    def record(self, state: pa.Table) -> dict[str, Any]:
        return super().record(state) | {"highest_score_kept": dict(zip(state["group"].to_pylist(), state["high"].to_pylist(), strict=True))}
