"""The flow `study`: DVC's graph, executed through Prefect.

Prefect shows and records; DVC decides what is stale (no result of Prefect's is cached or kept), and what a stage made is in `dvc.lock` before
its task run is completed. Afterwards `dvc repro` has nothing to do, and after a `dvc repro` this flow runs nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import chdir
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from flows import ctrl_c
from flows.abandoned import at_work
from flows.artifacts import RecordedExecution, StageTable, publish_verdict
from flows.asked_study import AskedStudy, asked_study
from flows.clock_watch import ClockWatch
from flows.commands import Commands
from flows.elsewhere import cancel_forgotten, run_elsewhere
from flows.execution import Driver, Execution, Progress, StageState, run_stage
from flows.graph import HERE, StudyGraph
from flows.server_watch import ServerLost, ServerWatch, leave
from flows.slots import Slots
from flows.stage_states import as_state, is_broken_off
from flows.turns import one_at_a_time
from flows.workspaces import finish, held, workspace_path
from models.frozen import StudyError
from tasks.layout import LOCAL
from tasks.study import load_study

if TYPE_CHECKING:
    from tasks.tracking import Record

RETRY_SECONDS = 10
RECORD_SECONDS = 10.0


@flow(name="study", persist_result=False)
def study(
    params: dict[str, Any] | None = None,
    params_file: str | None = None,
    cores: int | None = None,
    retries: int = 2,
    pool: str = HERE,
) -> State:
    """Brings all stages of `dvc.yaml` up to date, in parallel.

    Args:
        params: The study, if it is not that of params.yaml: it then runs beside it, in a workspace of its own, and ends as a DVC experiment.
        params_file: The same, by its parameter file.
        cores: Cores to use, all of the machine's when absent. A stage takes one, or what its `meta.cores` in dvc.yaml says.
        retries: How often a stage is tried again that was broken off by what may heal: network, object store, a machine that was taken away.
        pool: Work pool in which stages run that don't say it in dvc.yaml (`meta: {pool: gpu}`); `local` is this machine.
    """
    try:
        asked = asked_study(params, params_file)
        bring = partial(in_this_folder, cores or os.cpu_count() or 1, retries, pool)
        return bring() if asked is None else in_its_workspace(asked, bring)
    except StudyError as error:
        return Failed(message=str(error))
    except KeyboardInterrupt:
        return Cancelled(message="Interrupted in the terminal; what was finished is kept.")


def in_this_folder(cores: int, retries: int, pool: str) -> State:
    """One execution at a time in a folder: a second one waits, and then finds done what the first did."""
    LOCAL.mkdir(exist_ok=True)
    with one_at_a_time(FileLock(LOCAL / "study.lock"), say_that_we_wait), at_work(str(flow_run.id)):
        return bring_up_to_date(cores, retries, pool)


def in_its_workspace(asked: AskedStudy, bring: Callable[[], State]) -> State:
    try:
        with held(asked, say_that_we_wait) as workspace:
            get_run_logger().info("This study has other parameters than params.yaml and runs beside it, in %s.", workspace.path)
            with chdir(workspace.folder):
                state = bring()
            if not state.is_completed():
                raise StudyError(str(state.message))
            name = finish(workspace)
    except StudyError as error:
        kept = f" Its workspace is kept: {path}; run the same study again, and it goes on there." if (path := workspace_path(asked)).exists() else ""
        return Failed(message=f"{error}{kept}")
    return Completed(message=f"{state.message} {compared(name)}")


def say_that_we_wait() -> None:
    get_run_logger().info("Another run of this study is at work: waiting for it to end.")


def compared(name: str) -> str:
    return f"Kept as the experiment {name}: `dvc exp show` and `dvc exp diff HEAD {name}` compare it, `dvc exp apply {name}` brings it here."


def run_study(params_file: str | None, cores: int | None, retries: int, pool: str) -> State:
    """Runs the flow in this process, and returns when the server has on record what it did: after that the server may go."""
    ctrl_c.listen()
    try:
        state = study(params_file=params_file, cores=cores, retries=retries, pool=pool, return_state=True)
    except TerminationSignal as ended:
        sys.exit(128 + ended.signal)
    finally:  # else they would go on trying to reach a server that is gone, for a minute
        APILogWorker.drain_all(timeout=RECORD_SECONDS)
        EventsWorker.drain_all(timeout=RECORD_SECONDS)
    assert state.state_details.flow_run_id
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    deadline = time.monotonic() + RECORD_SECONDS
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if all(run.state and run.state.is_final() for run in client.read_task_runs(flow_run_filter=mine)):
                break
            time.sleep(0.1)
    return state


def bring_up_to_date(cores: int, retries: int, pool: str) -> State:
    cancel_forgotten()
    with ServerWatch(PREFECT_API_URL.value()) as server, Slots() as slots:
        graph, commands = StudyGraph(pool), Commands()
        return carry_out(graph, PrefectDriver(graph, commands, slots, server, retries), commands, cores)


def carry_out(graph: StudyGraph, driver: "PrefectDriver", commands: Commands, cores: int) -> State:
    try:
        progress = Execution(graph, driver, commands, cores).run()
    except ServerLost as lost:
        driver.close_record("KILLED")
        leave(lost)
    except BaseException:
        driver.close_record("KILLED")
        raise
    driver.close_record("FAILED" if any(its.state.bad for its in progress.values()) else "FINISHED")
    if bad := [its.sentence for its in progress.values() if its.state.bad]:
        rest = f" ({len(bad) - 1} more failed: see the stages)" if len(bad) > 1 else ""
        return Failed(message=f"{bad[0]}{rest}")
    publish_verdict(driver.recorded)
    ran = sum(its.state is StageState.DONE for its in progress.values())
    return Completed(message=f"{ran} stages ran, {len(progress) - ran} were up to date.")


class PrefectDriver(Driver):
    """Runs each stage as a task run that is named by its address, and shows all of them in one table."""

    def __init__(self, graph: StudyGraph, commands: Commands, slots: Slots, server: ServerWatch, retries: int):
        self._graph, self._commands, self._slots, self._server, self._retries = graph, commands, slots, server, retries
        self._futures: dict[str, PrefectFuture] = {}
        self._table, self._clock = StageTable(), ClockWatch()

    def reserve(self, address: str) -> bool:
        needs = self._graph.needs(address)
        return not needs.here or self._slots.take(address, needs)

    def release(self, address: str) -> None:
        self._slots.release(address)

    def start(self, address: str, on_end: Callable[[Progress], None]) -> None:
        environment = {"ASSAY_FLOW_RUN_ID": str(flow_run.id), "ASSAY_PARENT_RUN_ID": self._record.parent_run_id}
        broken_off = f"Stage {address} broke off in Prefect or in Assay itself: see the log of its task run."
        last = [Progress(state=StageState.FAILED, sentence=broken_off)]

        def body() -> State:
            logger = get_run_logger()
            run = run_stage if self._graph.needs(address).here else run_elsewhere
            last[0] = run(self._graph, address, self._commands, logger.info, environment | self._slots.environment(address))
            return as_state(last[0])

        self._submit(address, body, retries=self._retries).add_done_callback(lambda _: on_end(last[0]))

    def skip(self, address: str) -> None:
        self._submit(address, lambda: Completed(name="Up to date", message="DVC finds nothing changed."))

    @cached_property
    def _record(self) -> "Record":
        """This execution in MLflow, from its first stage on: a run that finds all up to date leaves no trace there."""
        from tasks.tracking import Record  # MLflow takes seconds to import

        return Record(load_study(), str(flow_run.id))

    @property
    def recorded(self) -> RecordedExecution | None:
        return RecordedExecution(self._record.experiment_id, self._record.parent_run_id) if "_record" in vars(self) else None

    def close_record(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        if "_record" in vars(self):
            self._record.close(status)

    def show(self, progress: Mapping[str, Progress]) -> None:
        self._table.show(progress)

    def check(self) -> None:
        ctrl_c.check()
        self._server.check()
        if jump := self._clock.jump():
            get_run_logger().warning(jump)

    def _submit(self, address: str, body: Callable[[], State], retries: int = 0) -> PrefectFuture:
        as_task = task(
            name=address.split("@")[0],
            task_run_name=address,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=retries,
            retry_delay_seconds=RETRY_SECONDS,
            retry_condition_fn=lambda _task, _task_run, state: is_broken_off(state),
        )
        before = [self._futures[upstream] for upstream in self._graph.upstream[address]]
        self._futures[address] = as_task(body).submit(wait_for=before)  # pyright: ignore[reportCallIssue] (a task that returns a state)
        return self._futures[address]
