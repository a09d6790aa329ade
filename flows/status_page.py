"""What `assay status` prints without --json."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from rich import box
from rich.markup import escape
from rich.table import Table

from flows.status import Status
from tasks.run_states import RunStanding, State

COLOURS = {State.DONE: "green", State.RUNNING: "cyan", State.FAILED: "red", State.STALE: "yellow", State.WAITING: "dim"}
NOT_DONE = (State.RUNNING, State.FAILED, State.STALE, State.WAITING)
BAR = 20  # characters


def status_page(status: Status) -> Iterator[Table | str]:
    yield f"[bold]{escape(status.study)}[/]  {_counted(s.state for s in status.stages)} of {len(status.stages)} stages; " + (
        f"{_counted(r.state for r in status.runs)} of {len(status.runs)} runs."
    )
    if status.executing:
        yield "An `assay run` is at work here."
    if status.clock:
        yield f"[yellow]{status.clock}[/]"
    if status.services:
        yield "Up: " + ", ".join(f"{service.name} {service.url or f'process {service.pid}'}" for service in status.services)
    yield _overview(status)
    yield from _reasons("stage", [(it.state, it.stage.split("@")[0], it.stage, it.sentence) for it in status.stages])
    yield _runs(status.runs)
    yield from _reasons("run", [(it.state, it.mixture, f"{it.mixture} {it.run}", it.sentence) for it in status.runs])


def _overview(status: Status) -> Table:
    """Stages by name and state."""
    table = Table("stage", box=box.SIMPLE, pad_edge=False)
    states = [state for state in State if any(stage.state is state for stage in status.stages)]
    for state in states:
        table.add_column(_state(state), justify="right")
    counts: dict[str, Counter[State]] = {}
    for stage in status.stages:
        counts.setdefault(stage.stage.split("@")[0], Counter())[stage.state] += 1
    for name, of_name in counts.items():
        table.add_row(escape(name), *(str(of_name[state] or "") for state in states))
    return table


def _runs(runs: tuple[RunStanding, ...]) -> Table:
    """By mixture: states, tokens, and the time that is left."""
    table = Table("mixture", box=box.SIMPLE, pad_edge=False)
    states = [state for state in State if any(run.state is state for run in runs)]
    for state in states:
        table.add_column(_state(state), justify="right")
    table.add_column("trained", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    for mixture, of_mixture in groupby(runs, key=lambda run: run.mixture):
        mine = list(of_mixture)
        counts = Counter(run.state for run in mine)
        left = max((run.seconds_left for run in mine if run.seconds_left is not None), default=None)
        table.add_row(escape(mixture), *(str(counts[state] or "") for state in states), _trained(mine), "" if left is None else _duration(left))
    return table


def _trained(runs: list[RunStanding]) -> str:
    targets = [run.target_tokens for run in runs if run.target_tokens is not None]
    if len(targets) < len(runs):
        return ""
    share = sum(run.tokens for run in runs if run.state is not State.STALE) / sum(targets)
    full = int(share * BAR)
    return f"[green]{'█' * full}[/][dim]{'░' * (BAR - full)}[/] {int(100 * share)}%"


def _reasons(what: str, standings: list[tuple[State, str, str, str | None]]) -> Iterator[Table]:
    """Why some (state, group, name, sentence) are not done; those of a group with one reason in one line."""
    groups: dict[tuple[State, str, str], list[str]] = {}
    for state, group, name, sentence in standings:
        if state is not State.DONE:
            groups.setdefault((state, group, sentence or ""), []).append(name)
    if not groups:
        return
    table = Table("state", what, "why", box=box.SIMPLE, pad_edge=False)
    for (state, group, sentence), names in sorted(groups.items(), key=lambda item: NOT_DONE.index(item[0][0])):
        table.add_row(_state(state), escape(names[0] if len(names) == 1 else f"{group} ({len(names)})"), escape(sentence))
    yield table


def _state(state: State) -> str:
    return f"[{COLOURS[state]}]{state}[/]"


def _counted(states: Iterable[State]) -> str:
    """`24 done, 1 stale`."""
    counts = Counter(states)
    return ", ".join(f"[{COLOURS[state]}]{counts[state]} {state}[/]" for state in State if counts[state] or state is State.DONE)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
