"""The funnel of a corpus: documents and bytes in and out of every step, by domain and by reason. Light: the report imports it."""

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


class FunnelRow(Frozen):
    """What one step does to one domain. Of a step that rewrites, `bytes_in` is not the sum of `bytes_out` and what is removed."""

    step: str
    domain: str
    documents_in: int
    bytes_in: int
    documents_out: int
    bytes_out: int
    removed: dict[str, Amount]  # by reason


class FlowCounter:
    """Adds up what flows through the steps of a recipe, shard by shard, in any order."""

    def __init__(self) -> None:
        # (position of the step, in, out or removed, domain, reason) -> count
        self.documents: Counter[tuple[int, str, str, str]] = Counter()
        self.bytes: Counter[tuple[int, str, str, str]] = Counter()

    def count(self, step: int, flow: Literal["in", "out", "removed"], table: pa.Table) -> None:
        """Counts the rows of `table` by domain and, when they are removed ones, by reason."""
        keys = ["domain", "reason"] if flow == "removed" else ["domain"]
        sized = table.select(keys).append_column("bytes", pc.cast(pc.binary_length(table["text"]), pa.int64()))
        for row in sized.group_by(keys).aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
            key = (step, flow, row["domain"], row.get("reason", ""))
            self.documents[key] += row["bytes_count"]
            self.bytes[key] += row["bytes_sum"]

    def add(self, other: "FlowCounter") -> None:
        self.documents.update(other.documents)
        self.bytes.update(other.bytes)

    def rows(self, steps: list[str]) -> list[FunnelRow]:
        """One row per step and domain, in the order of the steps, then of the domains' names. What a step finds to be of another domain comes into
        none and leaves by the new one."""
        domains = sorted({domain for _, flow, domain, _ in self.documents if flow != "removed"})
        return [self._row(position, step, domain) for position, step in enumerate(steps) for domain in domains]

    def _row(self, position: int, step: str, domain: str) -> FunnelRow:
        reasons = sorted(reason for at, flow, of, reason in self.documents if (at, flow, of) == (position, "removed", domain))
        removed = {reason: (position, "removed", domain, reason) for reason in reasons}
        entering, leaving = (position, "in", domain, ""), (position, "out", domain, "")
        return FunnelRow(
            step=step,
            domain=domain,
            documents_in=self.documents[entering],
            bytes_in=self.bytes[entering],
            documents_out=self.documents[leaving],
            bytes_out=self.bytes[leaving],
            removed={reason: Amount(documents=self.documents[key], bytes=self.bytes[key]) for reason, key in removed.items()},
        )


def load_funnel(corpus: str) -> list[FunnelRow]:
    return [FunnelRow.model_validate(row) for row in read_json(layout.funnel(corpus))]


def load_funnel_chain(study: "Study", recipe: str) -> list[tuple[str, list[FunnelRow]]]:
    """The funnels that lead from the pool (where it has one) to `recipe`: (corpus, its rows), first to last."""
    from tasks.study import lineage

    corpora = [*([layout.POOL] if layout.funnel(layout.POOL).exists() else []), *lineage(study.recipes, recipe)]
    return [(corpus, load_funnel(corpus)) for corpus in corpora]
