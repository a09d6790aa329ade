"""What steps share that rank the documents of each domain by score, in bytes: how much of the domain is at least as good."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import CorpusStep, StepContext
from tasks.steps.score_columns import read_score


class Ranks(NamedTuple):
    """Of one domain: its different scores, ascending, and the share of its bytes that is at least as good as each."""

    score_V: np.ndarray
    share_V: np.ndarray


class ByteRanked(CorpusStep):
    """A document's rank is the share of its domain's bytes in documents that score at least as high (QuaDMix, arXiv 2504.16511, equation 2, which
    counts tokens)."""

    score: str = Field(default="combined_score", description="the column that an earlier step annotated; higher is better")

    def map(self, table: pa.Table, context: StepContext) -> pa.Table:
        score = read_score(table, self.score, self, context)
        size = pc.cast(pc.binary_length(table["text"]), pa.int64())
        scored = pa.table({"domain": table["domain"], "score": score, "bytes": size}).filter(pc.is_valid(score))
        return scored.group_by(["domain", "score"]).aggregate([("bytes", "sum")])

    def reduce(self, digests: list[pa.Table], context: StepContext) -> dict[str, Ranks]:
        scored = pa.concat_tables(digests)
        if scored.num_rows and not np.isfinite(scored["score"].to_numpy()).all():
            raise StudyError(f"{self.step} can't rank documents in recipe '{context.recipe}': some have no finite '{self.score}'.")
        scored = scored.group_by(["domain", "score"]).aggregate([("bytes_sum", "sum")]).sort_by([("domain", "ascending"), ("score", "ascending")])
        domains, start_G = np.unique(scored["domain"].to_numpy(), return_index=True)
        score_V, bytes_V = scored["score"].to_numpy(), scored["bytes_sum_sum"].to_numpy()
        ranks = {}
        for domain, scores, sizes in zip(domains.tolist(), np.split(score_V, start_G[1:]), np.split(bytes_V, start_G[1:]), strict=True):
            at_least_V = np.cumsum(sizes[::-1])[::-1]
            ranks[domain] = Ranks(scores, at_least_V / max(at_least_V[0], 1))
        return ranks

    def scores_and_domains(self, table: pa.Table, context: StepContext) -> tuple[np.ndarray, np.ndarray]:
        return read_score(table, self.score, self, context).to_numpy(), np.array(table["domain"].to_pylist())

    def ranks(self, table: pa.Table, state: dict[str, Ranks], context: StepContext) -> np.ndarray:
        """Of each document, in (0, 1]; NaN without a score."""
        score_D, domain_D = self.scores_and_domains(table, context)
        rank_D = np.full(table.num_rows, np.nan)
        for domain, ranks in state.items():
            scored_D = (domain_D == domain) & ~np.isnan(score_D)
            rank_D[scored_D] = ranks.share_V[np.searchsorted(ranks.score_V, score_D[scored_D])]
        return rank_D
