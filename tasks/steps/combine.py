"""One score of many."""

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from models.frozen import Name, StudyError
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, set_column
from tasks.steps.score_columns import read_score

Weights = dict[str, float]


class CombineScores(CorpusStep):
    """Annotates a weighted sum of scores, each brought to one scale before: Q = sum_j w_j norm(s_j) (Meta-rater, arXiv 2504.14194, equation 1; with
    weights by domain QuaDMix' equation 1, arXiv 2504.16511). The weights are what one searches: Meta-rater and QuaDMix fit losses of small proxies.

    `standardise` takes the mean off and divides by the standard deviation over all scored documents, as QuRating does (arXiv 2402.09739);
    `rank` is the share of the scored documents that score less, ties in the middle; `none` takes scores as they are. A document that lacks one of
    its scores gets none.
    """

    step: Literal["combine-scores"]
    weights: Weights = Field(min_length=1, description="by the column that an earlier step annotated; negative where lower is better")
    weights_by_domain: dict[Name, Weights] = Field(default={}, description="in the place of `weights`")
    scale: Literal["standardise", "rank", "none"] = "standardise"
    output: str = Field(default="combined_score", pattern=r"^[a-z][a-z0-9_]*$", description="the column")

    @model_validator(mode="after")
    def _are_weights(self) -> Self:
        for place, weights in {"weights": self.weights, **self.weights_by_domain}.items():
            if not any(weights.values()):
                raise ValueError(f"the weights of combine-scores in '{place}' are all 0")
        return self

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"weights_by_domain": self.weights_by_domain}

    def annotations(self) -> pa.Schema:
        return pa.schema([pa.field(self.output, pa.float64())])

    @property
    def columns(self) -> list[str]:
        return sorted({column for weights in (self.weights, *self.weights_by_domain.values()) for column in weights})

    def map(self, table: pa.Table, context: StepContext) -> dict[str, np.ndarray]:
        """The scores that there are, by column."""
        return {column: read_score(table, column, self, context).drop_null().to_numpy() for column in self.columns}

    def reduce(self, digests: list[dict[str, np.ndarray]], context: StepContext) -> dict[str, np.ndarray]:
        """By column: mean and standard deviation; or, for ranks, what `np.unique` finds and how many score less, ties in the middle."""
        return {column: self._scale(column, np.sort(np.concatenate([digest[column] for digest in digests])), context) for column in self.columns}

    def _scale(self, column: str, score_D: np.ndarray, context: StepContext) -> np.ndarray:
        """Sums are of sorted numbers: shards in another order give the same bits."""
        if self.scale == "none":
            return np.empty(0)
        if len(score_D) < 2 or not np.ptp(score_D) > 0:  # also when one is NaN
            found = f"is between {score_D[0]} and {score_D[-1]}" if len(score_D) else "is missing"
            raise StudyError(
                f"combine-scores can't {self.scale} '{column}' in recipe '{context.recipe}': it {found} in {len(score_D):,} documents; look at the "
                "step that annotates it, or set its scale to none."
            )
        if self.scale == "standardise":
            return np.array([score_D.mean(), score_D.std()])
        value_V, count_V = np.unique(score_D, return_counts=True)
        return np.stack([value_V, (np.cumsum(count_V) - count_V / 2) / len(score_D)])

    def apply(self, table: pa.Table, state: dict[str, np.ndarray], context: StepContext) -> StepOutcome:
        scaled = {column: self._scaled(read_score(table, column, self, context).to_numpy(), state[column]) for column in self.columns}
        combined_D, domain_D = np.zeros(table.num_rows), np.array(table["domain"].to_pylist())
        for domain in np.unique(domain_D).tolist():
            inside_D = domain_D == domain
            for column, weight in self.weights_by_domain.get(domain, self.weights).items():
                combined_D[inside_D] += weight * scaled[column][inside_D]
        values = pa.array(combined_D, from_pandas=True)  # null where one is missing
        return StepOutcome(set_column(table, self.annotations().field(0), values), REMOVED_SCHEMA.empty_table())

    def _scaled(self, score_D: np.ndarray, scale: np.ndarray) -> np.ndarray:
        if self.scale == "none":
            return score_D
        if self.scale == "standardise":
            mean, deviation = scale
            return (score_D - mean) / deviation
        value_V, share_V = scale
        return np.where(np.isnan(score_D), np.nan, share_V[np.searchsorted(value_V, score_D).clip(max=len(value_V) - 1)])

    def record(self, state: dict[str, np.ndarray]) -> dict[str, Any]:
        if self.scale != "standardise":
            return {}
        return {column: {"mean": float(mean), "standard_deviation": float(deviation)} for column, (mean, deviation) in state.items()}
