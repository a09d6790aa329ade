"""The funnel of a corpus: documents and bytes in and out of every step, by domain, by source and by reason. Light: the report imports it."""

from collections import Counter
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json

if TYPE_CHECKING:
    from tasks.study import Study


class Amount(Frozen):
    documents: int
    bytes: int  # UTF-8, of text


class Flow(Frozen):
    """What one step does to some documents. Of a step that rewrites, `bytes_in` is not the sum of `bytes_out` and what is removed."""

    documents_in: int
    bytes_in: int
    documents_out: int
    bytes_out: int
    removed: dict[str, Amount]  # by reason

    @property
    def lost_share(self) -> float:
        """Of the documents that came in, or of their bytes, whichever is more."""
        shares = [1 - out / into for into, out in ((self.documents_in, self.documents_out), (self.bytes_in, self.bytes_out)) if into]
        return max(shares, default=0.0)


class FunnelRow(Flow):
    """What one step does to one domain."""

    step: str
    domain: str
    by_source: dict[str, Flow]


class FlowCounter:
    """Adds up what flows through the steps of a recipe, shard by shard, in any order."""

    def __init__(self) -> None:
        # (position of the step, in, out or removed, domain, source, reason) -> count
        self.documents: Counter[tuple[int, str, str, str, str]] = Counter()
        self.bytes: Counter[tuple[int, str, str, str, str]] = Counter()

    def count(self, step: int, flow: Literal["in", "out", "removed"], table: pa.Table) -> None:
        """Counts the rows of `table` by domain, by source and, when they are removed ones, by reason."""
        keys = ["domain", "source", "reason"] if flow == "removed" else ["domain", "source"]
        sized = table.select(keys).append_column("bytes", pc.cast(pc.binary_length(table["text"]), pa.int64()))
        for row in sized.group_by(keys).aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
            key = (step, flow, row["domain"], row["source"], row.get("reason", ""))
            self.documents[key] += row["bytes_count"]
            self.bytes[key] += row["bytes_sum"]

    def add(self, other: "FlowCounter") -> None:
        self.documents.update(other.documents)
        self.bytes.update(other.bytes)

    def rows(self, steps: list[str]) -> list[FunnelRow]:
        """One row per step and domain, in the order of the steps, then of the domains' names. What a step finds to be of another domain comes into
        none and leaves by the new one."""
        domains = sorted({domain for _, flow, domain, _, _ in self.documents if flow != "removed"})
        return [self._row(position, step, domain) for position, step in enumerate(steps) for domain in domains]

    def flow(self, step: int, domain: str | None = None, source: str | None = None) -> Flow:
        """What a step does to a domain and a source; to all of them when None."""
        documents, sizes = Counter(), Counter()
        for key, amount in self.documents.items():
            at, flow, of, out_of, reason = key
            if at == step and domain in (None, of) and source in (None, out_of):
                documents[flow, reason] += amount
                sizes[flow, reason] += self.bytes[key]
        reasons = sorted(reason for flow, reason in documents if flow == "removed")
        return Flow(
            documents_in=documents["in", ""],
            bytes_in=sizes["in", ""],
            documents_out=documents["out", ""],
            bytes_out=sizes["out", ""],
            removed={reason: Amount(documents=documents["removed", reason], bytes=sizes["removed", reason]) for reason in reasons},
        )

    def sources(self, step: int, domain: str | None = None) -> list[str]:
        """Those of whose documents a step saw or kept any, sorted."""
        return sorted({source for at, flow, of, source, _ in self.documents if at == step and flow != "removed" and domain in (None, of)})

    def _row(self, position: int, step: str, domain: str) -> FunnelRow:
        by_source = {source: self.flow(position, domain, source) for source in self.sources(position, domain)}
        return FunnelRow(step=step, domain=domain, by_source=by_source, **dict(self.flow(position, domain)))


def load_funnel(corpus: str) -> list[FunnelRow]:
    return [FunnelRow.model_validate(row) for row in read_json(layout.funnel(corpus))]


def load_funnel_chain(study: "Study", recipe: str) -> list[tuple[str, list[FunnelRow]]]:
    """The funnels that lead from the pool (where it has one) to `recipe`: (corpus, its rows), first to last."""
    from tasks.study import lineage

    corpora = [*([layout.POOL] if layout.funnel(layout.POOL).exists() else []), *lineage(study.recipes, recipe)]
    return [(corpus, load_funnel(corpus)) for corpus in corpora]
