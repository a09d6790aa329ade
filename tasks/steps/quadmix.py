"""QuaDMix' sampling function: how often a document is read depends on its place in its domain's ranking."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import Frozen, Name, StudyError
from tasks.documents import COPIES
from tasks.steps.base import AskedRemoval, CorpusStep, StepContext, StepOutcome, decide, set_column
from tasks.steps.draws import uniform
from tasks.steps.score_columns import read_score


class SamplingFunction(Frozen):
    """beta = (lambda, omega, eta, epsilon) of QuaDMix' equation 3; the defaults are the middles of the ranges that it searches (algorithm 1)."""

    steepness: float = Field(default=500.0, ge=0, description="lambda: how fast the number of copies falls as the rank comes to omega")
    threshold: float = Field(default=0.05, ge=0, le=1, description="omega: share of the domain's bytes, best first, that is more than noise")
    exponent: float = Field(default=0.5, ge=0, le=4, description="eta: the best documents come 2**eta times, those at omega once")
    base_rate: float = Field(default=0.0005, ge=0, le=16, description="epsilon: expected copies of a document of any quality, added to all")

    def copies(self, rank_D: np.ndarray) -> np.ndarray:
        """Expected copies by rank in [0, 1], 0 the best: (2 / (1 + exp(-lambda (omega - r))))**eta + epsilon up to omega, epsilon behind it."""
        with np.errstate(over="ignore"):  # behind omega, where it does not count
            sigmoid_D = 2 / (1 + np.exp(-self.steepness * (self.threshold - rank_D)))
        return np.where(rank_D <= self.threshold, sigmoid_D**self.exponent, 0.0) + self.base_rate


class Ranks(NamedTuple):
    """Of one domain: its different scores, ascending, and the share of its bytes that is at least as good as each."""

    score_V: np.ndarray
    share_V: np.ndarray


class QuadmixSampling(AskedRemoval, CorpusStep):
    """QuaDMix (arXiv 2504.16511, section 3.1). A document's rank r is the share of its domain's bytes in documents that score at least as high
    (equation 2; the paper counts tokens); its expected number of copies S(r) is a function of it (equation 3): of 1.3, one copy is certain, and
    another has probability 0.3. Equation 1, the merged score, is `combine-scores` with `weights_by_domain`. All its parameters are here and there,
    so that a search over studies can vary them.

    Annotates `copies`, which the tokenizer writes; drops documents of which there is none. Those without a score stay once.
    """

    step: Literal["quadmix"]
    score: str = Field(default="combined_score", description="the column that an earlier step annotated; higher is better")
    function: SamplingFunction = SamplingFunction()
    function_by_domain: dict[Name, SamplingFunction] = Field(default={}, description="in the place of `function`")

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"function_by_domain": self.function_by_domain}

    def annotations(self) -> pa.Schema:
        return pa.schema([COPIES])

    def map(self, table: pa.Table, context: StepContext) -> pa.Table:
        score = read_score(table, self.score, self, context)
        size = pc.cast(pc.binary_length(table["text"]), pa.int64())
        scored = pa.table({"domain": table["domain"], "score": score, "bytes": size}).filter(pc.is_valid(score))
        return scored.group_by(["domain", "score"]).aggregate([("bytes", "sum")])

    def reduce(self, digests: list[pa.Table], context: StepContext) -> dict[str, Ranks]:
        scored = pa.concat_tables(digests)
        if scored.num_rows and not np.isfinite(scored["score"].to_numpy()).all():
            raise StudyError(f"quadmix can't rank documents in recipe '{context.recipe}': some have no finite '{self.score}'.")
        scored = scored.group_by(["domain", "score"]).aggregate([("bytes_sum", "sum")]).sort_by([("domain", "ascending"), ("score", "ascending")])
        domains, start_G = np.unique(scored["domain"].to_numpy(), return_index=True)
        score_V, bytes_V = scored["score"].to_numpy(), scored["bytes_sum_sum"].to_numpy()
        ranks = {}
        for domain, scores, sizes in zip(domains.tolist(), np.split(score_V, start_G[1:]), np.split(bytes_V, start_G[1:]), strict=True):
            at_least_V = np.cumsum(sizes[::-1])[::-1]
            ranks[domain] = Ranks(scores, at_least_V / max(at_least_V[0], 1))
        return ranks

    def apply(self, table: pa.Table, state: dict[str, Ranks], context: StepContext) -> StepOutcome:
        score_D, domain_D = read_score(table, self.score, self, context).to_numpy(), np.array(table["domain"].to_pylist())
        expected_D = np.ones(table.num_rows)
        for domain, ranks in state.items():
            scored_D = (domain_D == domain) & ~np.isnan(score_D)
            rank_D = ranks.share_V[np.searchsorted(ranks.score_V, score_D[scored_D])]
            expected_D[scored_D] = self.function_by_domain.get(domain, self.function).copies(rank_D)
        copies_D = np.floor(expected_D + uniform(table, context, self, self.score)).astype(np.int32)
        table = set_column(table, COPIES, copies_D)
        return decide(table, pa.array(np.where(copies_D == 0, "not drawn", np.array(None, object))), score_D)

    def record(self, state: dict[str, Ranks]) -> dict[str, Any]:
        """By domain, the lowest score that is drawn for more than noise; null where even the best is not."""
        return {"lowest_score_above_noise": {domain: self._lowest(domain, ranks) for domain, ranks in state.items()}}

    def _lowest(self, domain: str, ranks: Ranks) -> float | None:
        above = ranks.score_V[ranks.share_V <= self.function_by_domain.get(domain, self.function).threshold]
        return float(above[0]) if len(above) else None
