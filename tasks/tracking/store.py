"""Where the record is kept: the client, the study's experiment, and refusals in words."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its default waits for minutes on a server that is down
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for every run

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from models.frozen import StudyError
from tasks import layout
from tasks.study import Study

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

METRICS_PER_BATCH = 1000  # that one log_batch takes
RUNS_PER_PAGE = 1000


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{layout.MLFLOW.resolve() / 'mlflow.db'}"


def lock_path() -> Path:
    """Guards the creation of the embedded store, and of parents, against a stage of this folder that runs at the same time."""
    layout.MLFLOW.mkdir(parents=True, exist_ok=True)
    return layout.MLFLOW / "lock"


@contextmanager
def refusals_in_words(uri: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise StudyError(
            f"MLflow at {uri} refused: {str(error).splitlines()[0]} Start it (`assay up`), or unset MLFLOW_TRACKING_URI "
            f"to record into {layout.MLFLOW}; what was computed is kept."
        ) from error


def experiment_of(study: Study, client: MlflowClient, uri: str) -> str:
    """The id of the study's experiment, which is made when there is none. Of many processes on many machines that ask at once, one makes it.

    Raises:
        StudyError: when somebody deleted the experiment.
    """
    found = client.get_experiment_by_name(study.name)
    if found is None:
        location = (layout.MLFLOW / "artifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
        tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": study.question}
        try:
            return client.create_experiment(study.name, artifact_location=location, tags=tags)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            found = client.get_experiment_by_name(study.name)
            assert found is not None
    if found.lifecycle_stage != "active":
        raise StudyError(
            f"MLflow's experiment '{study.name}' was deleted: restore it (`mlflow experiments restore -x {found.experiment_id}`), "
            "or give the study another `name`."
        )
    return found.experiment_id


def search_all(client: MlflowClient, experiment_id: str, condition: str = "") -> list[Run]:
    runs, token = [], None
    while token != "":
        page = client.search_runs([experiment_id], condition, max_results=RUNS_PER_PAGE, page_token=token)
        runs += page
        token = page.token or ""
    return runs


def log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    for start in range(0, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])
