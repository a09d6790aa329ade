"""What steps share that rank documents, best first, and keep a range of places."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import AskedRemoval, CorpusStep, StepContext, StepOutcome, decide, draw_keys
from tasks.steps.draws import uniform
from tasks.steps.mapped_tables import read_mapped, write_mapped
from tasks.steps.score_columns import read_score

ALL = ""  # the one group of a choice over the whole corpus
# One row is a group: the scores and keys of the first and the last document that stay.
BOUNDS = pa.schema({"group": pa.string(), "high": pa.float64(), "high_key": pa.uint64(), "low": pa.float64(), "low_key": pa.uint64()})


class RankedSelection(AskedRemoval, CorpusStep):
    """Keeps a range of places in the ranking of each group of documents. Ties go by a hash of the id, so that each place is one document's.

    Documents without a score (of domains that the scoring step skipped) stay, and don't count.
    """

    score: str | None = Field(
        default="quality_score", description="the column that an earlier step annotated; higher is better; null ranks at random, for a baseline"
    )
    by: Literal["domain"] | None = Field(default="domain", description="null chooses over the whole corpus, and may empty a domain")
    low_reason: ClassVar[str] = "low score"
    high_reason: ClassVar[str] = "high score"

    def ranked_by(self, table: pa.Table, context: StepContext) -> pa.ChunkedArray | pa.Array:
        """The number by which each document is ranked, float64, highest first; null for those that stay in any case."""
        return read_score(table, self.score, self, context) if self.score else pa.array(uniform(table, context, self, "rank"))

    def places(self, group: str, bytes_D: np.ndarray) -> tuple[int, int]:
        """The first place of a group that stays, and the one behind the last.

        Args:
            bytes_D: UTF-8 bytes of the group's documents, best first.
        """
        raise NotImplementedError

    def map(self, table: pa.Table, context: StepContext) -> Path:
        """The file of the shard's ranked documents. Row by row: one of them."""
        rank_by = self.ranked_by(table, context)
        size = pc.cast(pc.binary_length(table["text"]), pa.int64())
        ranked = pa.table({"group": self._groups(table), "score": rank_by, "key": draw_keys(table, context.seed), "bytes": size})
        path = context.directory / f"ranked-{context.shard:06d}.arrow"
        write_mapped(ranked.filter(pc.is_valid(rank_by)), path)
        return path

    def reduce(self, digests: list[Path], context: StepContext) -> pa.Table:
        """Row by row: a group, and the scores and keys of the first and the last document that stay; a group of which none stays has nulls. In memory
        is a group at a time, 60 bytes per document."""
        ranked = pa.concat_tables(map(read_mapped, digests))
        self._refuse_equal(ranked["score"], context)
        rows = []
        for group in sorted(pc.unique(ranked["group"]).to_pylist()):
            score_D, key_D, bytes_D = _columns(ranked, group)
            order_D = np.lexsort((key_D, -score_D))
            first, behind = self.places(group, bytes_D[order_D])
            ends = [order_D[place] for place in (first, behind - 1)] if first < behind else []
            high, low = ((float(score_D[end]), int(key_D[end])) for end in ends) if ends else ((None, None), (None, None))
            rows.append((group, *high, *low))
        return pa.Table.from_pylist([dict(zip(BOUNDS.names, row, strict=True)) for row in rows], BOUNDS)

    def _refuse_equal(self, scores: pa.ChunkedArray, context: StepContext) -> None:
        score_D = scores.to_numpy()
        if len(score_D) > 1 and not np.ptp(score_D) > 0:  # also when one is NaN
            raise StudyError(
                f"{self.step} can't choose in recipe '{context.recipe}': '{self.score}' is between {score_D.min()} and {score_D.max()} "
                f"in {len(score_D):,} documents; look at the step that annotates it."
            )

    def apply(self, table: pa.Table, state: pa.Table, context: StepContext) -> StepOutcome:
        bound = state.take(pc.index_in(self._groups(table), value_set=state["group"]))
        score, key = pc.cast(self.ranked_by(table, context), pa.float64()), pa.array(draw_keys(table, context.seed))
        over = _or_equal(pc.greater(score, bound["high"]), pc.equal(score, bound["high"]), pc.less(key, bound["high_key"]))
        under = _or_equal(pc.less(score, bound["low"]), pc.equal(score, bound["low"]), pc.greater(key, bound["low_key"]))
        none_stays = pc.and_(pc.is_valid(score), pc.is_null(bound["low"]))
        low = pc.or_(pc.fill_null(under, False), none_stays)
        high = pc.fill_null(over, False)
        reason = pc.case_when(pc.make_struct(low, high), self.low_reason, self.high_reason)
        return decide(table, reason, score, pc.if_else(high, bound["high"], bound["low"]))

    def record(self, state: pa.Table) -> dict[str, Any]:
        return {"lowest_score_kept": dict(zip(state["group"].to_pylist(), state["low"].to_pylist(), strict=True))}

    def _groups(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        return table["domain"] if self.by == "domain" else pa.repeat(ALL, table.num_rows)


def share_of(count: int, share: float) -> int:
    """So many of `count`, rounded up; a tenth of 30 is 3 whatever the last bits of the product say."""
    return int(np.ceil(round(share * count, 9)))


def _columns(ranked: pa.Table, group: str) -> tuple[np.ndarray, ...]:
    """Scores, keys and bytes of a group's documents."""
    mine = ranked.select(["score", "key", "bytes"]).filter(pc.equal(ranked["group"], group))
    return tuple(column.to_numpy() for column in mine.columns)


def _or_equal(beyond: Any, equal: Any, behind: Any) -> Any:
    return pc.or_(beyond, pc.and_(equal, behind))
