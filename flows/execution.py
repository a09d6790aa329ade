"""Executes the study's graph: every stale stage once its inputs are ready, as many at a time as there are cores for them.

Knows no Prefect: how a stage is started and shown is the driver's business (`flows/study.py`).
"""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from flows.commands import Cancelled, Commands, Output, with_our_python_first
from flows.graph import StudyGraph
from models.frozen import Frozen, StudyError
from tasks.layout import LOCAL
from tasks.stage import HEALED_BY_A_PERSON

LOGS = LOCAL / "logs"
WAKE_SECONDS = 0.5
CANCEL_SECONDS = 20.0  # leash.GRACE_SECONDS and some


class StageState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    UP_TO_DATE = "up to date"
    DONE = "done"
    REFUSED = "refused"  # only a person can mend it: never tried again
    FAILED = "failed"
    NOT_RUN = "not run"  # something upstream was not done
    CANCELLED = "cancelled"

    @property
    def usable(self) -> bool:
        return self in (StageState.UP_TO_DATE, StageState.DONE)

    @property
    def bad(self) -> bool:
        return self in (StageState.REFUSED, StageState.FAILED)


class Progress(Frozen):
    """Where a stage is. `sentence` says why it is not done; `seconds` is the wall time of one that ran."""

    state: StageState
    sentence: str | None = None
    seconds: float | None = None


class Driver(Protocol):
    """Starts stages and shows how it goes. All its methods are called by the thread that executes."""

    def start(self, address: str, on_end: Callable[[Progress], None]) -> None:
        """Runs the stage (`run_stage`) in a thread of its own, which calls `on_end` in the end, whatever happens."""
        ...

    def skip(self, address: str) -> None:
        """Takes note of a stage that is up to date."""
        ...

    def show(self, progress: Mapping[str, Progress]) -> None:
        """Shows where all stages are. Called after every change."""
        ...


def execute(graph: StudyGraph, driver: Driver, commands: Commands, cores: int) -> dict[str, Progress]:
    """Brings every stage up to date, or to where it can't get further: a failed stage stops what depends on it and nothing else.

    When it is interrupted by any exception, all running commands are ended before that goes up.
    """
    progress = dict.fromkeys(graph.addresses, Progress(state=StageState.WAITING))
    stale: set[str] = set()
    ended: queue.SimpleQueue[tuple[str, Progress]] = queue.SimpleQueue()

    def running() -> list[str]:
        return [address for address, its in progress.items() if its.state is StageState.RUNNING]

    def settle_and_start() -> None:
        free = cores - sum(graph.cores(address, cores) for address in running())
        for address in graph.addresses:
            if progress[address].state is not StageState.WAITING:
                continue
            upstream = {before: progress[before].state for before in graph.upstream[address]}
            if lost := [before for before, state in upstream.items() if state.bad or state is StageState.NOT_RUN]:
                progress[address] = Progress(state=StageState.NOT_RUN, sentence=f"needs {lost[0]}")
            elif not all(state.usable for state in upstream.values()):
                continue
            elif address not in stale and not graph.is_stale(address):
                driver.skip(address)
                progress[address] = Progress(state=StageState.UP_TO_DATE)
            else:
                stale.add(address)
                if (needed := graph.cores(address, cores)) <= free:
                    free -= needed
                    progress[address] = Progress(state=StageState.RUNNING)
                    driver.start(address, lambda its, address=address: ended.put((address, its)))

    try:
        while True:
            with graph.locked():
                settle_and_start()
            driver.show(progress)
            if not running():
                return progress
            address, its = patient_get(ended)
            progress[address] = its
    except BaseException:
        commands.end_all()
        deadline = time.monotonic() + CANCEL_SECONDS
        while running() and (seconds := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                address, progress[address] = ended.get(timeout=seconds)
        driver.show(progress)
        raise


def patient_get(ended: queue.SimpleQueue[tuple[str, Progress]]) -> tuple[str, Progress]:
    """Waits as long as it takes, but wakes now and then: the handler of SIGINT that Polars installs when it is imported has a lock's wait go on
    after Ctrl-C, for ever."""
    while True:
        with contextlib.suppress(queue.Empty):
            return ended.get(timeout=WAKE_SECONDS)


def run_stage(graph: StudyGraph, address: str, commands: Commands, on_line: Callable[[str], None], environment: Mapping[str, str]) -> Progress:
    """Runs one stale stage and commits what it made. `environment` is added to that of its commands."""
    began = time.monotonic()
    try:
        with graph.claimed(address):
            inputs = graph.prepare(address)
            failure = _run_commands(graph, address, commands, on_line, environment)
            if failure:
                return failure
            graph.commit(address, inputs)
    except Cancelled:
        return Progress(state=StageState.CANCELLED, sentence="ended with the study")
    except StudyError as error:
        return Progress(state=StageState.REFUSED, sentence=str(error))
    return Progress(state=StageState.DONE, seconds=round(time.monotonic() - began, 1))


def _run_commands(
    graph: StudyGraph, address: str, commands: Commands, on_line: Callable[[str], None], environment: Mapping[str, str]
) -> Progress | None:
    lines, directory, its_environment = graph.command(address)
    path = log_path(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as log:
        output = Output(log, on_line)
        for line in lines:
            code = commands.run(line, directory, with_our_python_first({**its_environment, **environment}), output)
            if code == HEALED_BY_A_PERSON and output.sentence:
                return Progress(state=StageState.REFUSED, sentence=output.sentence)
            if code:
                said = output.sentence or f"exit code {code}, last words '{output.last_line or ''}'"
                return Progress(state=StageState.FAILED, sentence=f"Stage {address} failed: {said} (all of it: {path}).")
    return None


def log_path(address: str) -> Path:
    return LOGS / f"{address.replace('/', '_')}.log"
