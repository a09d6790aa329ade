"""The deployment `study` on a Prefect server: what the UI's Run button starts, and the pool from whose worker it runs in this folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkerStatus
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows.study import study
from flows.study_form import study_form
from models.frozen import StudyError

WORKER_SECONDS = 60.0
ABOUT = """**Quick run** brings the study of this folder, as its `params.yaml` then is, up to date.

**Custom run** shows `params.yaml` as a form, as it was at the last `assay up`. Change it, and the study that you ask for runs beside that of the
folder, in a workspace of its own, and becomes a DVC experiment. Nothing in the folder is touched.

**Cancel** ends all processes of a run. What was finished is kept, and the next run goes on from there.
"""


def register_study(pool: str) -> None:
    """Creates the work pool and the deployment, or brings them up to date."""
    with get_client(sync_client=True) as client:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template), overwrite=True)
    deployment = study.to_deployment(
        name="study",
        description=ABOUT,
        work_pool_name=pool,
        job_variables={"working_dir": str(Path.cwd())},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment = cast(RunnerDeployment, deployment)
    form, definitions = study_form()
    schema = deployment._parameter_openapi_schema
    del schema.properties["params_file"]  # a person at the form has the parameters themselves before them
    schema.properties["params"] = form
    schema.definitions = {**schema.definitions, **definitions}
    deployment.apply()


def wait_for_worker(pool: str, check_alive: Callable[[], None]) -> None:
    """Returns when a worker of the pool has reported to the server. `check_alive` raises when it can't any more.

    Raises:
        StudyError: when none reports in time.
    """
    deadline = time.monotonic() + WORKER_SECONDS
    with get_client(sync_client=True) as client:
        while not any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool)):
            check_alive()
            if time.monotonic() > deadline:
                raise StudyError(f"Prefect's worker did not report to its server within {WORKER_SECONDS:.0f} s.")
            time.sleep(0.2)
