"""Flow runs that were killed: they could not tell Prefect how they ended, so whoever comes next in the same folder does."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows.clock_watch import boot_time
from flows.environment import AT_WORK
from tasks.atomic import read_json, write_json


@contextmanager
def at_work(flow_run_id: str) -> Iterator[None]:
    """Keeps the id of the flow run that holds the study's lock for as long as it does. One that finds another's id there closes that one."""
    if AT_WORK.exists():
        with get_client(sync_client=True) as client:
            close_killed(client, UUID(read_json(AT_WORK)["id"]))
    write_json(AT_WORK, {"id": flow_run_id, "boot_time": boot_time()})
    try:
        yield
    finally:
        AT_WORK.unlink(missing_ok=True)


def close_left_by_worker(pool: str) -> None:
    """For a pool without a worker: what one had begun to run died with it. What is scheduled stays for the next one."""
    begun = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        for flow_run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=begun)), work_pool_filter=of_pool):
            close_killed(client, flow_run.id)


def close_killed(client: SyncPrefectClient, killed: UUID) -> None:
    """Tells Prefect that a flow run and what ran in it crashed, unless it knows how they ended, or does not know them at all."""
    crashed = Crashed(message="Its process was killed. What was finished is kept; the next run goes on from there.")
    try:
        flow_run = client.read_flow_run(killed)
    except ObjectNotFound:  # it was on another server
        return
    for task_run in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[killed]))):
        if task_run.state and not task_run.state.is_final():
            client.set_task_run_state(task_run.id, crashed, force=True)
    if flow_run.state and not flow_run.state.is_final():
        client.set_flow_run_state(killed, crashed, force=True)
