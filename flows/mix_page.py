"""What `assay mix` prints without --json."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.markup import escape
from rich.table import Table

from tasks.mix import MixFit, TestScores
from tasks.mix_propose import MixProposal

Part = Table | str
SHOWN = 0.0005  # smaller moves of a share are not worth a word
MOVES = 4  # of the largest, that tell a run from the proposal


def fit_page(result: MixFit) -> Iterator[Part]:
    yield escape(f"Law {result.law} of {result.target}, fitted to {result.train_runs} runs. {result.sentence}")
    yield from _candidates(result.candidates)
    if result.test:
        yield _scores(result.test)
    yield from _notes(result)


def proposal_page(result: MixProposal) -> Iterator[Part]:
    reference = result.reference
    yield f"Proposal for {escape(result.target)} by the law {result.law}, fitted to {result.train_runs} runs."
    yield (
        f"Predicted {result.predicted.value:.4f} ({result.predicted.low:.4f} to {result.predicted.high:.4f}); {reference.name} "
        f"{reference.value:.4f} ({reference.low:.4f} to {reference.high:.4f}); better than these with probability {result.probability_better:.2f}."
    )
    yield _shares(result)
    yield escape(result.support.statement)
    if result.reuse:
        yield f"Kept {result.reuse.kept} runs, set aside {len(result.reuse.set_aside)}."
    yield from _candidates(result.candidates)
    if result.test:
        yield _scores(result.test)
    if result.next:
        yield _next(result)
    yield from _notes(result)


def _shares(result: MixProposal) -> Table:
    short = _short_names(result.weights)
    table = _table("domain", "share", result.reference.name, "epochs at target", "runs with as much")
    for domain, share in sorted(result.weights.items(), key=lambda item: (-item[1], item[0])):
        epochs = result.epochs[domain] if result.epochs else None
        runs = result.support.runs_at_or_above.get(domain)
        natural = result.reference.weights[domain]
        table.add_row(escape(short[domain]), f"{share:.4f}", f"{natural:.4f}", _number(epochs, ".2f"), "" if runs is None else str(runs))
    return table


def _next(result: MixProposal) -> Table:
    """Each run by how it differs from the proposal; --json has the whole mixtures."""
    short, has_cost = _short_names(result.weights), result.next[0].total_flops is not None
    table = _table("next", "why", "predicted", "gain so far", *(("FLOPs so far",) if has_cost else ()), "against the proposal")
    for number, run in enumerate(result.next, start=1):
        moves = {domain: share - result.weights[domain] for domain, share in run.weights.items()}
        largest = sorted((domain for domain in moves if abs(moves[domain]) > SHOWN), key=lambda domain: -abs(moves[domain]))[:MOVES]
        told = ", ".join(f"{escape(short[domain])} {moves[domain]:+.3f}" for domain in largest)
        predicted = f"{run.predicted.value:.4f}" if run.predicted else ""
        cost = (_number(run.total_flops, ".3g"),) if has_cost else ()
        table.add_row(str(number), run.reason, predicted, _number(run.batch_improvement, ".4f"), *cost, told)
    return table


def _short_names(names: Iterable[str]) -> dict[str, str]:
    """Without what all of them begin with, up to a separator."""
    all_of_them = list(names)
    prefix = re.sub(r"[A-Za-z0-9]*$", "", os.path.commonprefix(all_of_them))  # noqa: RUF071, character by character is meant
    return {name: name[len(prefix) :] for name in all_of_them}


def _candidates(candidates: Mapping[str, Mapping[str, float | None]]) -> Iterator[Table]:
    if not candidates:
        return
    kinds = list(dict.fromkeys(kind for evidence in candidates.values() for kind in evidence))
    table = _table("law", *(kind.replace("_", " ") for kind in kinds))
    for name, evidence in candidates.items():
        table.add_row(name, *(_number(evidence.get(kind), ".3f") for kind in kinds))
    yield table


def _scores(test: TestScores) -> Table:
    table = _table("on the test runs", str(test.n))
    for name, value in test.model_dump(exclude={"n"}).items():
        table.add_row(name.replace("_", " "), _number(value, ".4f"))
    return table


def _notes(result: MixFit | MixProposal) -> Iterator[str]:
    for rows, which in ((result.rows, ""), (result.test_rows, "test ")):
        if rows is not None:
            yield from (escape(f"Dropped {it.count} of {rows.read} {which}runs: {it.reason}.") for it in rows.dropped)
    yield from (escape(f"Note: {warning}") for warning in result.warnings)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column in ("why", "against the proposal") else "right", no_wrap=place == 0)
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
