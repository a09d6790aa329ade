"""A stage of this study that a worker of a work pool runs: sent with its inputs, followed, and its outputs brought here by md5."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import UUID

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import FlowRun
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Crashed

from flows.commands import Cancelled, Commands
from flows.execution import CANCEL_SECONDS, Progress, StageState
from flows.graph import StudyGraph
from flows.remote_stage import HEARTBEAT_SECONDS, LOCK_ENTRY, plain
from flows.revision import published
from flows.stage_states import as_progress
from flows.transfer import pull_outputs, push_inputs
from models.frozen import StudyError
from tasks.layout import LOCAL
from tasks.stage import TemporaryError

SENT = LOCAL / "sent"  # an empty file per flow run that a worker has in hand
POLL_SECONDS = 1.0
LOST_SECONDS = 4.0 * HEARTBEAT_SECONDS


def run_elsewhere(graph: StudyGraph, address: str, commands: Commands, on_line: Callable[[str], None], environment: Mapping[str, str]) -> Progress:
    """As `run_stage`, in the work pool that the stage needs."""
    began = time.monotonic()
    pool = graph.needs(address).pool
    try:
        inputs = graph.prepare(address)
        push_inputs(graph, address)
        with published() as revision, get_client(sync_client=True) as client:
            parameters = {"address": address, "revision": revision.model_dump(), "inputs": plain(inputs), "environment": for_elsewhere(environment)}
            try:
                flow_run = cast(FlowRun, run_deployment(f"stage/{pool}", parameters=parameters, timeout=0))
            except ObjectNotFound:
                raise StudyError(f"Stage {address} asks for the pool '{pool}', which no worker serves: `assay worker --pool {pool}` there.") from None
            on_line(f"Stage {address} is for the first free worker of the pool '{pool}': flow run {flow_run.id}.")
            with remembered(flow_run.id):
                state = follow(client, flow_run.id, commands)
            if not state.is_completed():
                return as_progress(state, address, f"the pool '{pool}'")
            entry = lock_entry(client, flow_run.id)
        pull_outputs(graph, address, entry)
        graph.accept(address, inputs, entry)
    except Cancelled:
        return Progress(state=StageState.CANCELLED, sentence="ended with the study")
    except TemporaryError as error:
        return Progress(state=StageState.BROKEN_OFF, sentence=str(error))
    except StudyError as error:
        return Progress(state=StageState.REFUSED, sentence=str(error))
    return Progress(state=StageState.DONE, seconds=round(time.monotonic() - began, 1))


@contextmanager
def remembered(flow_run_id: UUID) -> Iterator[None]:
    """For the next run here, should this one be killed: `cancel_forgotten`."""
    SENT.mkdir(parents=True, exist_ok=True)
    (SENT / str(flow_run_id)).touch()
    try:
        yield
    finally:
        (SENT / str(flow_run_id)).unlink()


def cancel_forgotten() -> None:
    """Ends what a run in this folder that was killed had sent to other machines."""
    for path in SENT.glob("*"):
        with get_client(sync_client=True) as client, suppress(ObjectNotFound):  # it was on another server
            cancel(client, UUID(path.name))
        path.unlink()


def for_elsewhere(environment: Mapping[str, str]) -> dict[str, str]:
    """With the record of runs, when it is at an address: one in this folder can't be written to from elsewhere."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return {"MLFLOW_TRACKING_URI": uri, **environment}
    return {name: value for name, value in environment.items() if name != "ASSAY_PARENT_RUN_ID"}


def follow(client: SyncPrefectClient, flow_run_id: UUID, commands: Commands) -> State:
    """How a flow run ended. One that runs, and gives no sign of life for `LOST_SECONDS`, is taken for crashed.

    Raises:
        Cancelled: with the commands here; it is cancelled, too.
    """
    sign, last_sign = None, time.monotonic()
    while not commands.ended.wait(POLL_SECONDS):
        try:
            state = client.read_flow_run(flow_run_id).state
            assert state
            if state.is_final():
                return state
            newest = last_heartbeat(client, flow_run_id) if state.is_running() else None
        except httpx.HTTPError:  # the server is being started again
            last_sign = time.monotonic()
            continue
        if newest != sign or not state.is_running():
            sign, last_sign = newest, time.monotonic()
        elif time.monotonic() - last_sign > LOST_SECONDS:
            lost = Crashed(message=f"no sign of life for {LOST_SECONDS:.0f} s.")
            client.set_flow_run_state(flow_run_id, lost, force=True)
            return lost
    cancel(client, flow_run_id)
    raise Cancelled


def last_heartbeat(client: SyncPrefectClient, flow_run_id: UUID) -> str | None:
    """The id of the newest event in which a flow run says that it lives."""
    wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{flow_run_id}"]}}
    events = client.request("POST", "/events/filter", json={"filter": {**wanted, "order": "DESC"}, "limit": 1}).json()["events"]
    return events[0]["id"] if events else None


def cancel(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    """Its worker ends its processes. Returns when it did, or after `CANCEL_SECONDS`."""
    client.set_flow_run_state(flow_run_id, Cancelling())  # nothing, when it has ended
    deadline = time.monotonic() + CANCEL_SECONDS / 2
    while time.monotonic() < deadline:
        state = client.read_flow_run(flow_run_id).state
        if state and state.is_final():
            return
        time.sleep(POLL_SECONDS)


def lock_entry(client: SyncPrefectClient, flow_run_id: UUID) -> dict[str, Any]:
    """What the worker says that dvc.lock shall say."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[LOCK_ENTRY]))
    (artifact,) = client.read_artifacts(artifact_filter=mine)
    return yaml.safe_load(str(artifact.data).removeprefix("```yaml\n").removesuffix("```\n"))
