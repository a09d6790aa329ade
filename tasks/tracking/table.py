"""An experiment as a table: what `assay fit`, `assay mix` and `assay rank` read of anybody's MLflow."""

from collections import Counter
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from models.frozen import StudyError, nearest
from models.laws.core import Dropped
from tasks.tracking.child import KIND, PARENT
from tasks.tracking.store import refusals_in_words, search_all, tracking_uri


def experiment_runs(name: str) -> tuple[dict[str, list[Any]], tuple[Dropped, ...]]:
    """The finished runs of an experiment as columns, and how many others it has: `run_id`, `run_name`, params (text) and the latest metrics.

    Runs that have children, or are this platform's executions, are no results. A name that is both a param and a metric stands there as
    `params.NAME` and `metrics.NAME`, as in MLflow's own tables.

    Raises:
        StudyError: when there is no such experiment, or no store.
    """
    uri = tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise StudyError(f"There is no record of runs at {uri}: set MLFLOW_TRACKING_URI to the MLflow that has the experiment '{name}'.")
    with refusals_in_words(uri):
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            names = sorted(one.name for one in client.search_experiments())
            raise StudyError(f"MLflow at {uri} has no experiment '{name}'{nearest(name, names)}: it has {', '.join(names)}.")
        runs = search_all(client, experiment.experiment_id)
    parents = {run.data.tags.get(PARENT) for run in runs}
    results = [run for run in runs if run.info.run_id not in parents and run.data.tags.get(KIND) != "study"]
    unfinished = Counter(run.info.status for run in results if run.info.status != "FINISHED")
    rows = [_as_row(run) for run in sorted(results, key=lambda run: (run.info.start_time, run.info.run_id)) if run.info.status == "FINISHED"]
    columns = {column: [row.get(column) for row in rows] for column in dict.fromkeys(column for row in rows for column in row)}
    return columns, tuple(Dropped(count, f"MLflow has the run as {status}, not FINISHED") for status, count in sorted(unfinished.items()))


def _as_row(run: Run) -> dict[str, Any]:
    params, metrics = dict(sorted(run.data.params.items())), dict(sorted(run.data.metrics.items()))
    both = params.keys() & metrics.keys()
    row: dict[str, Any] = {"run_id": run.info.run_id, "run_name": run.info.run_name}
    row |= {f"params.{name}" if name in both else name: value for name, value in params.items()}
    return row | {f"metrics.{name}" if name in both else name: value for name, value in metrics.items()}
