"""What the flow run's page shows beside its task runs: a table of all stages, the share that is done, and in the end the verdict."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import TableArtifact, create_markdown_artifact, create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.environment import mlflow_url, report_url
from flows.execution import Progress
from flows.plan import planned_and_done
from flows.workspaces import is_apart
from models.verdict import Verdict
from tasks.layout import FIT, REPORT
from tasks.plan import plan_study
from tasks.study import load_study


class StageTable:
    """One table and one progress bar per flow run, brought up to date in place."""

    def __init__(self) -> None:
        self._shown: list[dict[str, object]] = []

    @cached_property
    def _table(self) -> UUID:
        return cast(UUID, create_table_artifact(self._shown, key="stages", description="The stages of dvc.yaml, upstream first"))

    @cached_property
    def _bar(self) -> UUID:
        return cast(UUID, create_progress_artifact(0.0, key="progress", description="Stages that are done or up to date"))

    def show(self, progress: Mapping[str, Progress]) -> None:
        """A page that can't be brought up to date is no reason to stop, nor to wait: the work goes on and the log says so."""
        self._shown = [row(address, its) for address, its in progress.items()]
        share = sum(its.state.usable for its in progress.values()) / max(len(progress), 1)
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
                client.update_artifact(self._table, ArtifactUpdate(data=TableArtifact(table=self._shown).format(_sync=True)))  # pyright: ignore[reportCallIssue]
                update_progress_artifact(self._bar, round(100 * share, 1))
        except (httpx.HTTPError, RuntimeError) as error:
            get_run_logger().warning("Prefect did not take the table of stages (%s); the study goes on.", error)


def row(address: str, its: Progress) -> dict[str, object]:
    return {"stage": address, "state": its.state.value, "seconds": its.seconds, "why": its.sentence or ""}


class RecordedExecution(NamedTuple):
    """A study's execution in the record of runs: ids of MLflow's."""

    experiment: str
    run: str


def publish_verdict(recorded: RecordedExecution | None) -> None:
    """The verdict in words, with links to the report and to the record of runs, and what the training took beside its plan; nothing as long as there
    is no verdict. `recorded`: this execution, when it had anything to record."""
    path = FIT / "verdict.json"
    if not path.exists():
        return
    verdict = Verdict.model_validate_json(path.read_text(encoding="utf-8"))
    _publish_plan()
    links = [f"- [{name}]({url}): {what}\n" for name, url, what in _links(recorded)]
    create_markdown_artifact(
        f"## Verdict\n\n{verdict.sentence}\n\n{''.join(links)}",
        key="verdict",
        description="Which data wins, how sure that is, and where to read on",
    )


def _links(recorded: RecordedExecution | None) -> Iterator[tuple[str, str, str]]:
    """Name, address and content of pages on what was found."""
    its_run = f"experiments/{recorded.experiment}/runs/{recorded.run}" if recorded else None
    if (REPORT / "index.html").exists():
        if not is_apart():
            yield "Report", report_url(), "plots, tables, samples"
        elif its_run:  # a workspace goes with its report when the study is done; the record keeps it
            yield "Report", _mlflow_page(f"{its_run}/artifacts/{REPORT}/index.html"), "plots, tables, samples"
    if recorded and its_run:
        yield "This execution in MLflow", _mlflow_page(its_run), "verdict, parameters, versions of the data"
        yield "Runs in MLflow", _mlflow_page(f"experiments/{recorded.experiment}/runs"), "params, curves, evaluations, to be compared"
    else:
        yield "Runs in MLflow", mlflow_url(), "params, curves, evaluations"


def _mlflow_page(path: str) -> str:
    return f"{mlflow_url()}/#/{path}?workflowType=machine_learning"  # else MLflow shows what it has for agents


def _publish_plan() -> None:
    rows = planned_and_done(plan_study(load_study()))
    create_table_artifact(
        [dict(zip(("training", "planned", "done"), row, strict=True)) for row in rows],
        key="plan",
        description="What the study's training was to take, and what it took",
    )
