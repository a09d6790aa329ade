"""The record of runs: the only module that imports MLflow.

One experiment per study, one parent run per execution, one child per proxy run. Everything is written by explicit client and run ids (the
fluent API keeps its state per thread and in the environment), in batches, by the one process that runs a stage. A child is found again by its
run key, so that a stage which is resumed, or evaluated later, goes on in the same MLflow run.

Settings: MLFLOW_TRACKING_URI (default: SQLite and a folder under `.assay/mlflow`); ASSAY_PARENT_RUN_ID and ASSAY_FLOW_RUN_ID, which the Prefect
flow gives to its stages. Without them an execution begins with the first stage that has something to record and ends with the report.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from filelock import FileLock

from models.frozen import StudyError, nearest
from models.laws.core import Dropped
from models.verdict import Verdict
from tasks import layout
from tasks.atomic import read_json, write_json
from tasks.evaluation_table import AVERAGE, BITS_PER_BYTE, HELDOUT
from tasks.lineage import git_commit, git_diff, locked_md5s
from tasks.run_directory import RunResult
from tasks.study import Study

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its default waits for minutes on a server that is down
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # pyright: ignore[reportAttributeAccessIssue] (MLflow makes it at import)
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

OPEN_EXECUTION = layout.MLFLOW / "execution.json"
BATCH = 1000  # metrics that one log_batch takes


class Record:
    """A study's experiment, and in it the run of this execution."""

    def __init__(self, study: Study, flow_run_id: str | None = None):
        self.study = study
        self.flow_run_id = flow_run_id or os.environ.get("ASSAY_FLOW_RUN_ID")
        self.uri = tracking_uri()
        self.children: dict[str, ChildRun] = {}
        with refusals_in_words(self.uri), FileLock(lock_path()):
            self.client = MlflowClient(self.uri)
            self.experiment_id = self._experiment()
            self.parent_run_id = os.environ.get("ASSAY_PARENT_RUN_ID") or self._open_execution()

    def _experiment(self) -> str:
        if found := self.client.get_experiment_by_name(self.study.name):
            return found.experiment_id
        location = artifact_root().as_uri() if self.uri.startswith("sqlite:") else None
        tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": self.study.question}
        return self.client.create_experiment(self.study.name, artifact_location=location, tags=tags)

    def _open_execution(self) -> str:
        """The parent run that is open in this folder, or a new one."""
        if OPEN_EXECUTION.exists():
            found = self._find(f"attributes.run_id = '{read_json(OPEN_EXECUTION)['run_id']}' AND attributes.status = 'RUNNING'")
            if found:
                return found.info.run_id
        run = self.client.create_run(self.experiment_id, run_name=f"{self.study.name} study", tags=self._provenance() | {"assay.kind": "study"})
        write_json(OPEN_EXECUTION, {"run_id": run.info.run_id})
        self.client.log_text(run.info.run_id, layout.PARAMS.read_text(encoding="utf-8"), "params.yaml")
        if diff := git_diff():
            self.client.log_text(run.info.run_id, diff, "git.diff")
        return run.info.run_id

    def _provenance(self) -> dict[str, str]:
        """Where a run comes from, as tags. A clean checkout has no `git.dirty`."""
        tags = {"git.commit": git_commit(), "git.dirty": "true" if git_diff() else None, "prefect.flow_run_id": self.flow_run_id}
        return {name: value for name, value in tags.items() if value}

    def _find(self, condition: str) -> Run | None:
        return next(iter(self.client.search_runs([self.experiment_id], condition, max_results=1)), None)

    def child(self, run_key: str) -> str | None:
        """MLflow's run id of the proxy run with this key, or None."""
        found = self._find(f"tags.`assay.run_key` = '{run_key}'")
        return found.info.run_id if found else None

    def follow(self, run_key: str, name: str, mixture: str, recipe: str, rows: list[dict[str, Any]]) -> "ChildRun":
        """Adds a proxy run's curve, as far as it has come, to its MLflow run, which is made when there is none yet."""
        with refusals_in_words(self.uri):
            if run_key not in self.children:
                run_id = self.child(run_key)
                if run_id is None:
                    tags = {"assay.kind": "run", "assay.run_key": run_key, "mlflow.parentRunId": self.parent_run_id, "mixture": mixture}
                    run_id = self.client.create_run(self.experiment_id, run_name=f"{mixture} {name}", tags=self._provenance() | tags).info.run_id
                    self._log_tokens(run_id, recipe)
                self.children[run_key] = ChildRun(self.client, run_id)
            self.children[run_key].log_curve(rows)
            return self.children[run_key]

    def finish(self, result: RunResult, rows: list[dict[str, Any]]) -> None:
        """Completes and closes the MLflow run of a finished proxy run, however much of it was recorded before."""
        child = self.follow(result.run_key, result.run, result.mixture, result.recipe, rows)
        with refusals_in_words(self.uri):
            child.finish(result)

    def _log_tokens(self, run_id: str, recipe: str) -> None:
        """Names the data version: the tokens of the recipe, by the md5 that `dvc.lock` holds."""
        path = str(layout.TOKENS / recipe)
        if md5 := locked_md5s().get(path):
            dataset = MetaDataset(LocalArtifactDatasetSource(path), name=path, digest=md5.removesuffix(".dir"))
            self.client.log_inputs(run_id, [DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])])
            self.client.set_tag(run_id, "data.tokens.md5", md5)

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Ends the execution's parent run."""
        with refusals_in_words(self.uri):
            self.client.set_terminated(self.parent_run_id, status)
            OPEN_EXECUTION.unlink(missing_ok=True)


class ChildRun:
    """One proxy run's record."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client, self.run_id = client, run_id

    @cached_property
    def _last_tokens(self) -> int:
        """Up to where the curves are recorded already, by an earlier process."""
        return max((point.step for point in self.client.get_metric_history(self.run_id, "train_loss")), default=-1)

    def log_curve(self, rows: list[dict[str, Any]]) -> None:
        """Logs those rows of metrics.jsonl that are not recorded yet, by tokens seen."""
        now = int(time.time() * 1000)
        new = [row for row in rows if row["tokens"] > self._last_tokens]
        log_metrics(
            self.client,
            self.run_id,
            [Metric(name, row[name], now, row["tokens"]) for row in new for name in CURVES if row.get(name) is not None],
        )
        if new:
            self._last_tokens = new[-1]["tokens"]

    def finish(self, result: RunResult) -> None:
        """Logs what people sort by, and closes the run: FAILED when it diverged."""
        weights = {f"weight/{domain}": weight for domain, weight in result.weights_by_domain.items()}
        params = {name: getattr(result, name) for name in PARAMS} | weights
        epochs = {f"epochs/{domain}": value for domain, value in result.epochs_by_domain.items()}
        facts = {"final_train_loss": result.final_train_loss, "train_flops": result.train_flops} | epochs
        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in params.items()])
        log_metrics(self.client, self.run_id, [Metric(n, v, now, result.tokens_seen) for n, v in facts.items() if v is not None])
        self.client.log_dict(self.run_id, result.model_dump(mode="json"), "result.json")
        self.client.set_tag(self.run_id, "assay.status", result.status)
        self.client.set_terminated(self.run_id, "FINISHED" if result.status == "completed" else "FAILED")


CURVES = ("train_loss", "gradient_norm", "learning_rate")
PARAMS = ("mixture", "recipe", "size", "seed", "num_params", "budget_tokens", "learning_rate", "batch_tokens")


def record_evaluation(study: Study, mixture: str) -> None:
    """Adds the metrics of `results/evaluations/<mixture>.parquet` to the children."""
    record = Record(study)
    rows = pq.read_table(layout.EVALUATIONS / f"{mixture}.parquet").to_pylist()
    now = int(time.time() * 1000)
    with refusals_in_words(record.uri):
        for run_key in sorted({row["run_key"] for row in rows}):
            run_id = record.child(run_key)
            if run_id is None:
                continue  # trained elsewhere, and recorded there
            mine = [row for row in rows if row["run_key"] == run_key and row["value"] is not None]
            log_metrics(record.client, run_id, [Metric(metric_name(row), row["value"], now, row["tokens"]) for row in mine])
            versions = {f"version/{metric_name(row)}": row["version"] for row in mine}
            record.client.log_batch(run_id, tags=[RunTag(name, version) for name, version in versions.items()])


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
        runs = all_runs(client, experiment.experiment_id)
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    results = [run for run in runs if run.info.run_id not in parents and run.data.tags.get("assay.kind") != "study"]
    unfinished = Counter(run.info.status for run in results if run.info.status != "FINISHED")
    rows = [_as_row(run) for run in sorted(results, key=lambda run: (run.info.start_time, run.info.run_id)) if run.info.status == "FINISHED"]
    columns = {column: [row.get(column) for row in rows] for column in dict.fromkeys(column for row in rows for column in row)}
    return columns, tuple(Dropped(count, f"MLflow has the run as {status}, not FINISHED") for status, count in sorted(unfinished.items()))


def all_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    runs, token = [], None
    while token != "":
        page = client.search_runs([experiment_id], max_results=BATCH, page_token=token)
        runs += page
        token = page.token or ""
    return runs


def _as_row(run: Run) -> dict[str, Any]:
    params, metrics = dict(sorted(run.data.params.items())), dict(sorted(run.data.metrics.items()))
    both = params.keys() & metrics.keys()
    row: dict[str, Any] = {"run_id": run.info.run_id, "run_name": run.info.run_name}
    row |= {f"params.{name}" if name in both else name: value for name, value in params.items()}
    return row | {f"metrics.{name}" if name in both else name: value for name, value in metrics.items()}


def metric_name(row: dict[str, Any]) -> str:
    """`bits_per_byte/<domain>` on held-out text, `<benchmark>/<metric>` otherwise: a curve by tokens where there are snapshots. The mean over the
    last checkpoints is beside it."""
    of_text = row["metric"] == BITS_PER_BYTE
    name = f"{BITS_PER_BYTE}/{row['benchmark'].removeprefix(HELDOUT)}" if of_text else f"{row['benchmark']}/{row['metric']}"
    return f"{name}/{AVERAGE}" if row["checkpoint"] == AVERAGE else name


def record_verdict(study: Study) -> None:
    """Adds verdict, laws and report to the execution's parent run and, when no flow owns it, ends it."""
    record = Record(study)
    verdict = Verdict.model_validate(read_json(layout.FIT / "verdict.json"))
    metrics: dict[str, float | None] = {}
    for mixture in verdict.mixtures:
        metrics[f"predicted_loss/{mixture.mixture}"] = mixture.predicted_loss.value if mixture.predicted_loss else None
        metrics[f"probability_best/{mixture.mixture}"] = mixture.probability_best
    if verdict.back_test:  # of the method that speaks
        metrics["back_test/decision_accuracy"] = verdict.back_test.decision_accuracy
        metrics["back_test/coverage"] = verdict.back_test.coverage
        metrics["back_test/mean_absolute_error"] = verdict.back_test.mean_absolute_error
    now = int(time.time() * 1000)
    with refusals_in_words(record.uri):
        log_metrics(record.client, record.parent_run_id, [Metric(n, v, now, 0) for n, v in metrics.items() if v is not None])
        record.client.set_tag(record.parent_run_id, "mlflow.note.content", verdict.sentence)  # its description in the UI
        record.client.set_tag(record.parent_run_id, "assay.winner", verdict.winner or "cannot tell")
        for folder in (layout.FIT, layout.REPORT):
            record.client.log_artifacts(record.parent_run_id, str(folder), artifact_path=folder.name)
        record.client.log_dict(record.parent_run_id, locked_md5s(), "data_md5s.json")
    if "ASSAY_PARENT_RUN_ID" not in os.environ:
        record.close("FINISHED")


def log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{layout.MLFLOW / 'mlflow.db'}"


def artifact_root() -> Path:
    return (layout.MLFLOW / "artifacts").resolve()


def lock_path() -> Path:
    """Guards the creation of the embedded store, of experiments and of parents against a stage that runs at the same time."""
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
