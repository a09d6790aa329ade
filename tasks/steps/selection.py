"""Steps that choose documents by a score."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide, draw_keys

ALL = ""  # the one group of a choice over the whole corpus


class TopFraction(CorpusStep):
    """Keeps the documents with the highest scores: a share of each domain's documents, or of all together. Ties go by a hash of the id.

    Documents without a score (of domains that the scoring step skipped) stay, and don't count.
    """

    step: Literal["top-fraction"]
    fraction: float = Field(gt=0, le=1, description="of the documents; rounded up")
    score: str = Field(default="quality_score", description="the column that an earlier step annotated; higher is better")
    by: Literal["domain"] | None = Field(default="domain", description="null chooses over the whole corpus, and may empty a domain")

    def map(self, table: pa.Table, context: StepContext) -> pa.Table:
        if self.score not in table.column_names:
            raise StudyError(
                f"top-fraction has no column '{self.score}' to choose by: put the step that annotates it before it in recipe '{context.recipe}'."
            )
        scores = pc.cast(table[self.score], pa.float64())
        scored = pa.table({"group": self._groups(table), "score": scores, "key": draw_keys(table, context.seed)})
        return scored.filter(pc.is_valid(scores))

    def reduce(self, digests: list[pa.Table], context: StepContext) -> pa.Table:
        """Row by row: a group, and the score and key of the last document that stays."""
        scored = pa.concat_tables(digests)
        score = scored["score"].to_numpy()
        if len(score) > 1 and not np.ptp(score) > 0:  # also when one is NaN
            raise StudyError(
                f"top-fraction can't choose in recipe '{context.recipe}': '{self.score}' is between {score.min()} and {score.max()} "
                f"in {len(score):,} documents; look at the step that annotates it."
            )
        scored = scored.sort_by([("group", "ascending"), ("score", "descending"), ("key", "ascending")])
        _, first, counts = np.unique(scored["group"].to_numpy(), return_index=True, return_counts=True)
        return scored.take(first + np.ceil(np.round(self.fraction * counts, 9)).astype(int) - 1)

    def apply(self, table: pa.Table, state: pa.Table, context: StepContext) -> StepOutcome:
        bound = state.take(pc.index_in(self._groups(table), value_set=state["group"]))
        score, key = pc.cast(table[self.score], pa.float64()), pa.array(draw_keys(table, context.seed))
        below = pc.or_(pc.less(score, bound["score"]), pc.and_(pc.equal(score, bound["score"]), pc.greater(key, bound["key"])))
        return decide(table, pc.if_else(below, "low score", pa.scalar(None, pa.string())), score, bound["score"])

    def record(self, state: pa.Table) -> dict[str, Any]:
        return {"lowest_score_kept": dict(zip(state["group"].to_pylist(), state["score"].to_pylist(), strict=True))}

    def _groups(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        return table["domain"] if self.by == "domain" else pa.repeat(ALL, table.num_rows)
