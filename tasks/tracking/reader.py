"""What is recorded of a study, to be looked at: nothing is made or changed by reading."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from models.frozen import Frozen
from tasks.tracking.store import refusals_in_words, search_all, tracking_uri


class RecordedRun(Frozen):
    """An MLflow run: of a proxy run, or of an execution."""

    run_id: str
    name: str
    status: str
    deleted: bool  # in MLflow's bin, as what was recorded anew is
    tags: dict[str, str]
    params: dict[str, str]


def recorded_runs(study_name: str) -> list[RecordedRun]:
    """The runs of a study's experiment, oldest first; none when there is no such experiment, or no store yet.

    Raises:
        StudyError: when MLflow does not answer.
    """
    if not _is_there():
        return []
    with refusals_in_words(tracking_uri()):
        client = MlflowClient(tracking_uri())
        experiment = client.get_experiment_by_name(study_name)
        found = search_all(client, experiment.experiment_id) if experiment else []
        return [_recorded(run) for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))]


def recorded_run(run_id: str) -> RecordedRun | None:
    """The run with this id, whatever experiment it is of; None when there is no such one."""
    if not _is_there():
        return None
    try:
        return _recorded(MlflowClient(tracking_uri()).get_run(run_id))
    except MlflowException:
        return None


def _is_there() -> bool:
    """Whether there is a store to ask: MLflow would make an empty one."""
    uri = tracking_uri()
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def _recorded(run: Run) -> RecordedRun:
    return RecordedRun(
        run_id=run.info.run_id,
        name=str(run.info.run_name),
        status=run.info.status,
        deleted=run.info.lifecycle_stage == "deleted",
        tags=dict(run.data.tags),
        params=dict(run.data.params),
    )
