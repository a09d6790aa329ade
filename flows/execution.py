"""Executes the study's graph: every stale stage once its inputs are ready, as many at a time as there are cores for them.

Knows no Prefect: how a stage is started and shown is the driver's business (`flows/study.py`).
"""

import contextlib
import queue
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from flows import ctrl_c
from flows.commands import Cancelled, Commands, Output, with_our_python_first
from flows.graph import Busy, StudyGraph
from models.frozen import Frozen, StudyError
from tasks.layout import LOCAL
from tasks.stage import HEALED_BY_A_PERSON, MAY_HEAL, TemporaryError

LOGS = LOCAL / "logs"
WAKE_SECONDS = 0.5
CANCEL_SECONDS = 20.0  # leash.GRACE_SECONDS and some
# What a machine does to a process that it wants to be rid of; all other signals are the command's own fault.
PRE_EMPTED = {MAY_HEAL} | {128 + ended for ended in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL)}


class StageState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    UP_TO_DATE = "up to date"
    DONE = "done"
    REFUSED = "refused"  # only a person can mend it: never tried again
    FAILED = "failed"
    BROKEN_OFF = "broken off"  # by what may be well the next time: network, object store, a machine that was taken away
    NOT_RUN = "not run"  # something upstream was not done
    CANCELLED = "cancelled"

    @property
    def usable(self) -> bool:
        return self in (StageState.UP_TO_DATE, StageState.DONE)

    @property
    def bad(self) -> bool:
        return self in (StageState.REFUSED, StageState.FAILED, StageState.BROKEN_OFF)


class Progress(Frozen):
    """Where a stage is. `sentence` says why it is not done; `seconds` is the wall time of one that ran."""

    state: StageState
    sentence: str | None = None
    seconds: float | None = None


class Driver(Protocol):
    """Starts stages and shows how it goes. All its methods are called by the thread that executes."""

    def reserve(self, address: str) -> bool:
        """Takes the slots that a stage needs, which others may share. No: there are too few at the moment; it is asked again."""
        ...

    def release(self, address: str) -> None:
        """Gives the slots back that `reserve` took."""
        ...

    def start(self, address: str, on_end: Callable[[Progress], None]) -> None:
        """Runs the stage (`run_stage`) in a thread of its own, which calls `on_end` in the end, whatever happens."""
        ...

    def skip(self, address: str) -> None:
        """Takes note of a stage that is up to date."""
        ...

    def show(self, progress: Mapping[str, Progress]) -> None:
        """Shows where all stages are. Called after every change."""
        ...


class Execution:
    """Brings every stage up to date, or to where it can't get further: a failed stage stops what depends on it and nothing else.

    A stage that another DVC command has in hand (`dvc repro` in another terminal) is waited for; so are slots that other studies hold.
    """

    def __init__(self, graph: StudyGraph, driver: Driver, commands: Commands, cores: int):
        self._graph, self._driver, self._commands, self._cores = graph, driver, commands, cores
        self._progress = dict.fromkeys(graph.addresses, Progress(state=StageState.WAITING))
        self._stale: set[str] = set()
        self._claims: dict[str, ExitStack] = {}
        self._ended: queue.SimpleQueue[tuple[str, Progress]] = queue.SimpleQueue()

    def run(self) -> dict[str, Progress]:
        """When it is interrupted by any exception, all running commands are ended before that goes up."""
        try:
            shown = None
            while True:
                ctrl_c.check()
                postponed = self._start_what_is_ready()
                if shown != self._progress:
                    shown = dict(self._progress)
                    self._driver.show(shown)
                if self._claims:
                    self._wait_for_an_end(WAKE_SECONDS if postponed else None)
                elif postponed:
                    time.sleep(WAKE_SECONDS)
                else:
                    return self._progress
        except BaseException:
            ctrl_c.heard()
            self._commands.end_all()
            deadline = time.monotonic() + CANCEL_SECONDS
            while self._claims and (seconds := deadline - time.monotonic()) > 0:
                self._wait_for_an_end(seconds)
            self._driver.show(self._progress)
            raise

    def _start_what_is_ready(self) -> bool:
        """Whether a stage that could run must wait for others than ours."""
        postponed = False
        with self._graph.locked():
            if self._graph.refresh():
                self._stale.clear()
            for address in self._graph.addresses:
                if self._progress[address].state is StageState.WAITING and self._is_ready(address):
                    try:
                        postponed |= not self._settle(address)
                    except Busy as busy:
                        self._progress[address] = Progress(state=StageState.WAITING, sentence=str(busy))
                        postponed = True
        return postponed

    def _is_ready(self, address: str) -> bool:
        upstream = {before: self._progress[before].state for before in self._graph.upstream[address]}
        if lost := [before for before, state in upstream.items() if state.bad or state is StageState.NOT_RUN]:
            self._progress[address] = Progress(state=StageState.NOT_RUN, sentence=f"needs {lost[0]}")
            return False
        return all(state.usable for state in upstream.values())

    def _settle(self, address: str) -> bool:
        """Starts a stage or finds it up to date. No: others hold the slots that it needs."""
        if address not in self._stale and not self._graph.is_stale(address):
            self._driver.skip(address)
            self._progress[address] = Progress(state=StageState.UP_TO_DATE)
            return True
        self._stale.add(address)
        if self._cores_of(address) > self._cores - sum(map(self._cores_of, self._claims)):
            return True
        with ExitStack() as undo:
            claim = undo.enter_context(self._graph.claim(address))
            if not self._driver.reserve(address):
                self._progress[address] = Progress(state=StageState.WAITING, sentence="waits for slots that others hold")
                return False
            undo.pop_all()
        self._claims[address] = claim
        self._progress[address] = Progress(state=StageState.RUNNING)
        self._driver.start(address, lambda its: self._ended.put((address, its)))
        return True

    def _cores_of(self, address: str) -> int:
        needs = self._graph.needs(address)
        return needs.cores_of(self._cores) if needs.here else 0

    def _wait_for_an_end(self, seconds: float | None) -> None:
        if ended := patient_get(self._ended, seconds):
            address, self._progress[address] = ended
            self._claims.pop(address).close()
            self._driver.release(address)


def patient_get(ended: queue.SimpleQueue[tuple[str, Progress]], seconds: float | None) -> tuple[str, Progress] | None:
    """Waits for so long, or as long as it takes, but wakes now and then: the handler of SIGINT that Polars installs when it is imported has a
    lock's wait go on after Ctrl-C, for ever."""
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    while (left := deadline - time.monotonic()) > 0:
        ctrl_c.check()
        with contextlib.suppress(queue.Empty):
            return ended.get(timeout=min(WAKE_SECONDS, left))
    return None


def run_stage(graph: StudyGraph, address: str, commands: Commands, on_line: Callable[[str], None], environment: Mapping[str, str]) -> Progress:
    """Runs one stale stage, whose files are claimed, and commits what it made. `environment` is added to that of its commands."""
    began = time.monotonic()
    try:
        inputs = graph.prepare(address)
        if failure := _run_commands(graph, address, commands, on_line, environment):
            return failure
        graph.commit(address, inputs)
    except Cancelled:
        return Progress(state=StageState.CANCELLED, sentence="ended with the study")
    except TemporaryError as error:
        return Progress(state=StageState.BROKEN_OFF, sentence=str(error))
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
                state = StageState.BROKEN_OFF if code in PRE_EMPTED else StageState.FAILED
                return Progress(state=state, sentence=f"Stage {address} failed: {said} (all of it: {path}).")
    return None


def log_path(address: str) -> Path:
    return LOGS / f"{address.replace('/', '_')}.log"
