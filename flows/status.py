"""`assay status`: what is done, running, stale and failed, from the facts alone. No server is asked.

A stage runs when a living process has marked its outputs in DVC's table of readers and writers (`dvc repro` and `assay run` both do); it failed when
the log of its last try ends so. Runs: `tasks/run_states.py`.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from flows.changes import Change, Changes
from flows.clock_watch import DRIFT_SECONDS, boot_time, in_words
from flows.commands import SENTENCE
from flows.environment import AT_WORK
from flows.execution import log_path
from flows.graph import StudyGraph, in_one_sentence
from flows.services import RunningService, find
from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json
from tasks.run_states import RunStanding, State, is_held, run_standings
from tasks.study import Study
from tasks.swarm_states import swarm_standings

SERVICES = ("prefect", "worker", "mlflow", "report")
STUDY_LOCK = layout.LOCAL / "study.lock"
LOG_TAIL_BYTES = 1 << 16


class StageStanding(Frozen):
    """`sentence` says why it is not done."""

    stage: str
    state: State
    sentence: str | None = None


class Status(Frozen):
    study: str
    executing: bool  # an `assay run` is at work in this folder
    clock: str | None  # one sentence when the system clock was set since that run began
    services: tuple[RunningService, ...]  # that `assay up` started and that live
    stages: tuple[StageStanding, ...]  # upstream first
    runs: tuple[RunStanding, ...]


def status(study: Study) -> Status:
    """Of the study in the current folder.

    Raises:
        StudyError: in one sentence, what DVC finds wrong.
    """
    graph = StudyGraph()
    with graph.looked_at(), in_one_sentence():
        find_changes = Changes(graph)
        changes = {address: find_changes.of(address) for address in graph.addresses}
        writers = writing_processes(graph)
    stages = tuple(_stage(graph, address, changes, writers.get(address)) for address in graph.addresses)
    not_done = {str(out): stage for stage in stages if stage.state is not State.DONE for out in graph.stage(stage.stage).outs}
    tokens = {recipe: not_done.get(str(layout.TOKENS / recipe)) for recipe in study.recipes}
    outdated = {recipe: f"{stage.stage}: {stage.sentence}" for recipe, stage in tokens.items() if stage}
    executing = is_held(FileLock(STUDY_LOCK))
    return Status(
        study=study.name,
        executing=executing,
        clock=_clock() if executing else None,
        services=tuple(running for name in SERVICES if (running := find(name))),
        stages=stages,
        runs=(*run_standings(study, outdated), *swarm_standings(study, outdated)),
    )


def writing_processes(graph: StudyGraph) -> dict[str, str]:
    """The stages that a process runs at the moment, with its id and command."""
    table = Path(graph.repo.tmp_dir or "") / "rwlock"
    if not table.exists():
        return {}
    marks = _read_json_soon(table) or {}
    written = table.stat().st_mtime
    marks = {path: mark for path, mark in marks.get("write", {}).items() if lives(mark, written)}
    stages = {address: [marks[out.fs_path] for out in graph.stage(address).outs if out.fs_path in marks] for address in graph.addresses}
    return {address: f"process {mine[0]['pid']}: {mine[0]['cmd']}" for address, mine in stages.items() if mine}


def _read_json_soon(path: Path) -> Any:
    """None when it is half a file for longer than it takes to write one: of a `dvc repro` that was killed."""
    for pause_seconds in (0.1, 0.0):
        with suppress(ValueError):
            return read_json(path)
        time.sleep(pause_seconds)
    return None


def lives(mark: dict[str, Any], since: float) -> bool:
    """Whether the process that marked something still is there. One that seems to have come later has only inherited its number, unless it is the
    same command: then the clock was set meanwhile."""
    try:
        process, arguments = psutil.Process(mark["pid"]), mark["cmd"].partition(" ")[2]
        return process.create_time() <= since + 1 or (arguments != "" and " ".join(process.cmdline()).endswith(arguments))
    except psutil.Error:
        return False


def _clock() -> str | None:
    try:
        return in_words(boot_time() - read_json(AT_WORK)["boot_time"], DRIFT_SECONDS)
    except (FileNotFoundError, KeyError):  # it waits for another run, or is of an earlier version
        return None


def _stage(graph: StudyGraph, address: str, changes: dict[str, tuple[Change, ...]], writer: str | None) -> StageStanding:
    mine = changes[address]
    upstream = [before for before in graph.all_upstream(address) if changes[before]]
    if writer:
        return StageStanding(stage=address, state=State.RUNNING, sentence=writer)
    if mine and (failure := last_failure(graph, address)):
        return StageStanding(stage=address, state=State.FAILED, sentence=failure)
    more = f", and {len(mine) - 1} more (assay why {address})" if len(mine) > 1 else ""
    if upstream:
        return StageStanding(stage=address, state=State.WAITING, sentence=f"needs {upstream[0]}")
    if mine:
        state = State.WAITING if mine[0].kind == "never run" else State.STALE
        return StageStanding(stage=address, state=state, sentence=f"{mine[0].sentence}{more}")
    return StageStanding(stage=address, state=State.DONE)


def last_failure(graph: StudyGraph, address: str) -> str | None:
    """The sentence with which the stage's last try through `assay run` failed; None when it did not, or the stage has written its outputs since."""
    path = log_path(address)
    if not path.exists():
        return None
    tried = path.stat().st_mtime
    if any(Path(out.fs_path).stat().st_mtime > tried for out in graph.stage(address).outs if Path(out.fs_path).exists()):
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix(SENTENCE) for line in lines if line.startswith(SENTENCE)]
    if said:
        return said[-1]
    return lines[-1].strip() if any(line.startswith("Traceback (most recent call last)") for line in lines) else None
