"""`assay why`: which input, parameter or code changed since a stage last ran."""

from collections import Counter

from flows.changes import Change, Changes, listed
from flows.graph import StudyGraph, in_one_sentence
from models.frozen import Frozen, StudyError, nearest


class Why(Frozen):
    """Why a stage would run, or that it would not."""

    stage: str
    stale: bool  # by itself, as `dvc status` says
    would_run: bool  # now, or once a stage before it has made something else
    sentence: str
    changes: tuple[Change, ...]
    upstream: tuple[str, ...]  # stages before it that are stale, upstream first


class Reasons(Frozen):
    stages: tuple[Why, ...]


def why(name: str) -> Reasons:
    """Of one stage, or of all items of a stage by its bare name.

    Raises:
        StudyError: when there is no such stage.
    """
    graph = StudyGraph()
    addresses = graph.named(name)
    if not addresses:
        names = {*graph.addresses, *(address.split("@")[0] for address in graph.addresses)}
        bare = sorted({address.split("@")[0] for address in graph.addresses})
        raise StudyError(f"There is no stage '{name}'{nearest(name, names)}: dvc.yaml has {', '.join(bare)}, and their items as name@item.")
    with graph.looked_at(), in_one_sentence():
        find = Changes(graph)
        asked = {one for address in addresses for one in (*graph.all_upstream(address), address)}
        changes = {address: find.of(address) for address in graph.addresses if address in asked}
    return Reasons(stages=tuple(_why(address, changes[address], [it for it in graph.all_upstream(address) if changes[it]]) for address in addresses))


def _why(address: str, changes: tuple[Change, ...], upstream: list[str]) -> Why:
    if {change.kind for change in changes} <= {"never run", "always"} and changes:
        sentence = f"{address} would run: {changes[0].sentence}."
    elif changes:
        sentence = f"{address} would run: {_counted(changes)} changed since it last ran."
    elif upstream:
        sentence = f"{address} is up to date with what is on disk, but would run because {listed(upstream)} upstream would."
    else:
        sentence = f"{address} is up to date: nothing that it reads or wrote has changed."
    if changes and upstream:
        sentence += f" Upstream, {listed(upstream)} would run too."
    would_run = bool(changes or upstream)
    return Why(stage=address, stale=bool(changes), would_run=would_run, sentence=sentence, changes=changes, upstream=tuple(upstream))


def _counted(changes: tuple[Change, ...]) -> str:
    """`2 parameters, code`."""
    counts = Counter(change.kind for change in changes if change.kind != "always")
    return ", ".join(f"{count} {kind}s" if count > 1 and kind in ("parameter", "output") else kind for kind, count in counts.items())
