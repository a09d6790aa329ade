"""Keeps documents whose score lies between given bounds."""

from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from models.frozen import Name
from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide
from tasks.steps.score_columns import read_score


class ScoreThreshold(BatchStep):
    """Drops documents with scores below `minimum` or above `maximum`. Documents without a score (of domains that the scoring step skipped) stay."""

    step: Literal["score-threshold"]
    score: str = Field(default="quality_score", description="the column that an earlier step annotated")
    minimum: float | None = None
    maximum: float | None = None
    minimum_by_domain: dict[Name, float] = Field(default={}, description="in the place of `minimum`")

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.minimum is None and self.maximum is None and not self.minimum_by_domain:
            raise ValueError("score-threshold needs minimum, maximum or minimum_by_domain")
        return self

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"minimum_by_domain": self.minimum_by_domain}

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        score_D = read_score(table, self.score, self, context).to_numpy()  # null becomes NaN, of which no comparison is true
        minimum, maximum = (bound if bound is not None else fallback for bound, fallback in ((self.minimum, -np.inf), (self.maximum, np.inf)))
        minimum_D = np.array([self.minimum_by_domain.get(domain, minimum) for domain in table["domain"].to_pylist()])
        low_D, high_D = score_D < minimum_D, score_D > maximum
        reason_D = np.where(low_D, "low score", np.where(high_D, "high score", np.array(None, object)))
        return decide(table, pa.array(reason_D), score_D, np.where(low_D, minimum_D, maximum))
