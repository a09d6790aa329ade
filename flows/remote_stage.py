"""The flow `stage`: what a worker on another machine does with one stage of somebody's study.

It shares nothing with the study but three addresses: Prefect's API, the git remote and the DVC remote. Every stage has a folder of its own in the
worker's `.assay/stages/`, which stays: run directories and checkpoints live there, and a stage that comes back to the same machine goes on from them.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml
from filelock import FileLock
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows.commands import Commands
from flows.execution import Progress, StageState, run_stage
from flows.graph import StudyGraph
from flows.revision import Revision, check_out
from flows.slots import Slots
from flows.stage_states import as_state
from flows.transfer import pull_inputs, push_outputs
from flows.turns import one_at_a_time
from models.frozen import StudyError
from tasks.layout import LOCAL
from tasks.stage import TemporaryError

HOME_VARIABLE = "ASSAY_STAGES"
HEARTBEAT_SECONDS = 30  # the shortest that Prefect offers
SLOT_SECONDS = 2.0
LOCK_ENTRY = "lock-entry"


@flow(name="stage", flow_run_name="{address}", persist_result=False)
def stage(address: str, revision: Revision, inputs: dict[str, Any], environment: dict[str, str]) -> State:
    """Runs one stage of a study on this machine. Started by `assay run`, not by people.

    Args:
        address: Of the stage, as in dvc.yaml.
        revision: Where its files are.
        inputs: What DVC knows of everything that the stage depends on, there.
        environment: Added to that of its commands; this machine's own setting of the record of runs goes before it.
    """
    home = Path(os.environ.get(HOME_VARIABLE) or LOCAL / "stages").resolve()
    folder = home / hashlib.sha256(revision.url.encode()).hexdigest()[:8] / address.replace("/", "_")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with one_at_a_time(FileLock(f"{folder}.lock"), lambda: get_run_logger().info("Another run of this stage is at work here: waiting.")):
            check_out(revision, folder)
            os.chdir(folder / revision.folder)
            Path(".dvc/config.local").write_text(f"[cache]\n    dir = {home / 'cache'}\n")
            return as_state(run_here(address, inputs, environment))
    except TemporaryError as error:
        return as_state(Progress(state=StageState.BROKEN_OFF, sentence=str(error)))
    except StudyError as error:
        return as_state(Progress(state=StageState.REFUSED, sentence=str(error)))


def run_here(address: str, inputs: dict[str, Any], environment: dict[str, str]) -> Progress:
    graph = StudyGraph()
    logger = get_run_logger()
    with Slots() as slots, graph.claim(address):
        while not slots.take(address, graph.needs(address)):
            time.sleep(SLOT_SECONDS)
        pull_inputs(graph, address)
        mine = plain(graph.prepare(address))
        if differing := sorted(path for path in inputs.keys() | mine.keys() if inputs.get(path) != mine.get(path)):
            raise StudyError(
                f"Stage {address} would not run on the study's {differing[0]}, but on what git and DVC brought to this machine: "
                f"`git add` it or `dvc add` it there, then run this again."
            )
        own = {name: value for name, value in os.environ.items() if name == "MLFLOW_TRACKING_URI"}
        progress = run_stage(graph, address, Commands(), logger.info, environment | own | slots.environment(address))
        if progress.state is StageState.DONE:
            push_outputs(graph, address)
            entry = yaml.safe_dump(graph.lock_entry(address), sort_keys=False)
            create_markdown_artifact(f"```yaml\n{entry}```\n", key=LOCK_ENTRY, description=f"What dvc.lock says of {address}")
    return progress


def plain(inputs: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: md5s by path; of a parameter file, the values."""
    return json.loads(json.dumps({path: its.value for path, its in inputs.items()}))


def register_stage(pool: str) -> None:
    """Creates the work pool, unless there is one (of whatever type), and in it the deployment that `assay run` starts stages with."""
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=ProcessWorker.get_default_base_job_template()))
    deployment = stage.to_deployment(
        name=pool,
        description="One stage of a study whose `meta.pool` is this one. Started by `assay run`.",
        work_pool_name=pool,
        job_variables={"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    cast(RunnerDeployment, deployment).apply()
