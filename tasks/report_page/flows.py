"""The funnel by source and by reason: documents, bytes and tokens after every step, and what it removed.

Tokens of what a recipe keeps are counted (its token shards), those of what a step removes counted or estimated (removed_tokens.py). Before a step
there were those of both. Before one that rewrote text there were as many per byte as after it: the older text is kept nowhere. `counted` says where
no estimate is in it. A corpus that is tokenized itself, such as the base of a recipe, is counted anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tasks.report_page.removed_tokens import GROUP
from tasks.steps.funnel import Amount, Flow, FunnelRow

if TYPE_CHECKING:
    from tasks.report_page.evidence import Evidence


@dataclass(frozen=True)
class Tokens:
    """None where nobody can know: all text of a source was rewritten to nothing."""

    tokens: int | None
    counted: bool

    def __add__(self, other: "Tokens") -> "Tokens":
        known = self.tokens is not None and other.tokens is not None
        return Tokens(self.tokens + other.tokens if known else None, self.counted and other.counted)  # pyright: ignore[reportOperatorIssue]


NONE = Tokens(0, True)


@dataclass(frozen=True)
class Removal:
    """What one step removed of one domain and source for one reason, or of all of them together (None)."""

    step: str
    reason: str
    domain: str | None
    source: str | None
    documents: int
    bytes: int
    tokens: int | None
    counted: bool
    share: float | None  # of the bytes that came into the step


@dataclass(frozen=True)
class Step:
    """One step of one corpus, with the funnel's rows of all domains."""

    corpus: str
    name: str
    rows: list[FunnelRow]

    def flows(self, source: str) -> Iterator[tuple[str, Flow]]:
        return ((row.domain, row.by_source[source]) for row in self.rows if source in row.by_source)


def steps_of(rows: list[FunnelRow]) -> list[list[FunnelRow]]:
    """A funnel's rows by step: each step has a row for every domain."""
    num_domains = len({row.domain for row in rows})
    return [rows[start : start + num_domains] for start in range(0, len(rows), num_domains)] if rows else []


def steps_to(evidence: "Evidence", recipe: str) -> list[Step]:
    """From the sources to the recipe. What stands in a recipe without steps is none."""
    without_steps = {name for name, of in evidence.study.recipes.items() if not of.steps}
    chain = [(corpus, rows) for corpus, rows in evidence.funnels_by_recipe[recipe] if corpus not in without_steps]
    return [Step(corpus, step[0].step, step) for corpus, rows in chain for step in steps_of(rows)]


def funnel_by_source(evidence: "Evidence") -> pl.DataFrame:
    """One row is what is left of one source after one step on the way to one recipe (`sources`: before the first)."""
    columns = {"recipe": pl.String, "order": pl.Int64, "corpus": pl.String, "step": pl.String, "source": pl.String}
    numbers = {"documents": pl.Int64, "bytes": pl.Int64, "tokens": pl.Int64, "counted": pl.Boolean}
    rows = [(recipe, *row) for recipe in evidence.study.recipes for row in sorted(_of_recipe(evidence, recipe), key=lambda row: row[0])]
    return pl.DataFrame(rows, schema=columns | numbers, orient="row")


def _of_recipe(evidence: "Evidence", recipe: str) -> Iterator[tuple]:
    """order, corpus, step, source, documents, bytes, tokens, counted: source by source, from the recipe back to the sources."""
    steps = steps_to(evidence, recipe)
    for source in sorted({source for step in steps for row in step.rows for source in row.by_source}):
        behind = evidence.kept_tokens[recipe].get(source, NONE)
        for order, step in reversed(list(enumerate(steps, start=1))):
            ends = order == len(steps) or steps[order].corpus != step.corpus
            if ends and step.corpus in evidence.kept_tokens:
                behind = evidence.kept_tokens[step.corpus].get(source, NONE)
            flows = [flow for _, flow in step.flows(source)]
            documents, size = sum(flow.documents_out for flow in flows), sum(flow.bytes_out for flow in flows)
            yield order, step.corpus, step.name, source, documents, size, behind.tokens, behind.counted
            behind = _before(evidence, step, source, behind)
        first = [flow for _, flow in steps[0].flows(source)]
        documents, size = sum(flow.documents_in for flow in first), sum(flow.bytes_in for flow in first)
        yield 0, steps[0].corpus, "sources", source, documents, size, behind.tokens, behind.counted


def _before(evidence: "Evidence", step: Step, source: str, behind: Tokens) -> Tokens:
    """Tokens of a source that came into a step, from those that left it."""
    flows = list(step.flows(source))
    left = sum(flow.bytes_out for _, flow in flows)
    stayed = sum(flow.bytes_in - sum(amount.bytes for amount in flow.removed.values()) for _, flow in flows)
    if stayed != left:  # the step rewrites
        behind = Tokens(round(behind.tokens * stayed / left) if left and behind.tokens is not None else None, False)
    for domain, flow in flows:
        for reason, amount in flow.removed.items():
            behind += tokens_of_removed(evidence, step, reason, domain, source, amount)
    return behind


def tokens_of_removed(evidence: "Evidence", step: Step, reason: str, domain: str, source: str, amount: Amount) -> Tokens:
    """Of what a step removed. Of one that stands twice in its recipe, its share by bytes of what both removed."""
    found = evidence.removed_tokens[step.corpus].row(by_predicate=_is(step.name, reason, domain, source), named=True)
    if found["documents"] == amount.documents:
        return Tokens(found["tokens"], found["counted"])
    return Tokens(round(found["tokens"] * amount.bytes / found["bytes"]) if found["bytes"] else None, False)


def _is(*values: str) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in zip(GROUP, values, strict=True))


def removals(evidence: "Evidence", recipe: str) -> list[Removal]:
    """All that the recipe's own steps removed, in their order: each reason, most bytes first; as a whole where it has several parts, then these."""
    own = [step for step in steps_to(evidence, recipe) if step.corpus == recipe]
    return [removal for step in own for removal in _removals(evidence, step)]


def _removals(evidence: "Evidence", step: Step) -> Iterator[Removal]:
    parts = list(_parts(evidence, step))
    came_in = sum(row.bytes_in for row in step.rows)
    bytes_by_reason = {part.reason: sum(other.bytes for other in parts if other.reason == part.reason) for part in parts}
    for reason, size in sorted(bytes_by_reason.items(), key=lambda item: (-item[1], item[0])):
        of_reason = sorted((part for part in parts if part.reason == reason), key=lambda part: (-part.bytes, str(part.domain), str(part.source)))
        if len(of_reason) > 1:
            total = sum((Tokens(part.tokens, part.counted) for part in of_reason), NONE)
            documents = sum(part.documents for part in of_reason)
            yield Removal(step.name, reason, None, None, documents, size, total.tokens, total.counted, size / came_in if came_in else None)
        yield from of_reason


def _parts(evidence: "Evidence", step: Step) -> Iterator[Removal]:
    for row in step.rows:
        for source, flow in row.by_source.items():
            for reason, amount in flow.removed.items():
                of = tokens_of_removed(evidence, step, reason, row.domain, source, amount)
                share = amount.bytes / flow.bytes_in if flow.bytes_in else None
                yield Removal(step.name, reason, row.domain, source, amount.documents, amount.bytes, of.tokens, of.counted, share)
