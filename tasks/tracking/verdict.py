"""What an execution found, on its parent run: the verdict as metrics and as a table, laws, report, and which data it was."""

import json
import time
from typing import Any

from mlflow.entities import Metric

from models.verdict import MixtureVerdict, Verdict
from tasks import layout
from tasks.atomic import read_json
from tasks.lineage import locked_md5s
from tasks.study import Study
from tasks.tracking.record import Record
from tasks.tracking.store import log_metrics, refusals_in_words

VERDICT_TABLE = "verdict_table.json"


def record_verdict(study: Study) -> None:
    """Adds verdict, laws and report to the execution's parent run and, when no flow owns it, ends it."""
    record = Record(study)
    verdict = Verdict.model_validate(read_json(layout.FIT / "verdict.json"))
    client, run_id = record.client, record.parent_run_id
    with refusals_in_words(record.uri):
        known, now = client.get_run(run_id).data.metrics, int(time.time() * 1000)
        new = {name: value for name, value in metrics_of(verdict).items() if value is not None and known.get(name) != value}
        log_metrics(client, run_id, [Metric(name, value, now, 0) for name, value in new.items()])
        client.set_tag(run_id, "mlflow.note.content", verdict.sentence)  # its description in the UI
        client.set_tag(run_id, "assay.winner", verdict.winner or "cannot tell")
        for folder in (layout.FIT, layout.REPORT):
            client.log_artifacts(run_id, str(folder), artifact_path=folder.name)
        # As `log_table` writes it, which would add rows to those of a stage that was killed here.
        client.log_dict(run_id, table_of(verdict), VERDICT_TABLE)
        client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([{"path": VERDICT_TABLE, "type": "table"}]))
        client.log_dict(run_id, locked_md5s(), "data_md5s.json")
    record.close("FINISHED")


def metrics_of(verdict: Verdict) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    for mixture in verdict.mixtures:
        metrics[f"predicted_loss/{mixture.mixture}"] = mixture.predicted_loss.value if mixture.predicted_loss else None
        metrics[f"probability_best/{mixture.mixture}"] = mixture.probability_best
    if verdict.back_test:  # of the method that speaks
        metrics["back_test/decision_accuracy"] = verdict.back_test.decision_accuracy
        metrics["back_test/coverage"] = verdict.back_test.coverage
        metrics["back_test/mean_absolute_error"] = verdict.back_test.mean_absolute_error
    return metrics


def table_of(verdict: Verdict) -> dict[str, list[Any]]:
    """One row per mixture, best first, in the form in which MLflow's pages show a table."""
    columns = ["mixture", "predicted_loss", "low", "high", "probability_best", "law", "runs_used", "refused"]
    return {"columns": columns, "data": [_row(mixture) for mixture in verdict.mixtures]}


def _row(its: MixtureVerdict) -> list[Any]:
    loss = [its.predicted_loss.value, its.predicted_loss.low, its.predicted_loss.high] if its.predicted_loss else [None] * 3
    return [its.mixture, *loss, its.probability_best, its.law, its.runs_used, its.refused]
