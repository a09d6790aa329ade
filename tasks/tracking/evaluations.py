"""Evaluations in the record: per run curves by tokens where there are snapshots, and the rows with their errors and versions as a file."""

import json
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq

from tasks import layout
from tasks.atomic import read_json
from tasks.evaluation_table import AVERAGE, BITS_PER_BYTE, EVALUATION_SCHEMA, HELDOUT
from tasks.run_directory import RunResult
from tasks.study import Study
from tasks.tracking.child import BEGUN, EVALUATION_MD5, Point, md5_of
from tasks.tracking.record import Record
from tasks.tracking.store import refusals_in_words


def record_evaluation(study: Study, mixture: str) -> None:
    """Adds the metrics of `results/evaluations/<mixture>.parquet` to its runs. What is recorded already is not logged again; when other values or
    versions are, the run is recorded anew. A run that was trained and recorded elsewhere is recorded here too."""
    record = Record(study)
    rows = pq.read_table(layout.EVALUATIONS / f"{mixture}.parquet", columns=EVALUATION_SCHEMA.names).to_pylist()
    with refusals_in_words(record.uri):
        for run, its_rows in groupby(rows, key=lambda row: row["run"]):
            _record_run(record, layout.RUNS / mixture / run, list(its_rows))


def _record_run(record: Record, directory: layout.Path, rows: list[dict[str, Any]]) -> None:
    result = RunResult.model_validate(read_json(directory / "result.json"))
    curve = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    child = record.finish(result, curve)
    md5, recorded = md5_of(rows), child.tags.get(EVALUATION_MD5)
    if recorded == md5:
        return
    if recorded and recorded.removesuffix(BEGUN) != md5:
        child = record.record_anew(child, result, curve)
    child.log_evaluation([Point(metric_name(row), row["tokens"], row["value"]) for row in rows], rows, md5)


def metric_name(row: dict[str, Any]) -> str:
    """`bits_per_byte/<domain>` on held-out text, `<benchmark>/<metric>` otherwise. The mean over the last checkpoints is beside it."""
    of_text = row["metric"] == BITS_PER_BYTE
    name = f"{BITS_PER_BYTE}/{row['benchmark'].removeprefix(HELDOUT)}" if of_text else f"{row['benchmark']}/{row['metric']}"
    return f"{name}/{AVERAGE}" if row["checkpoint"] == AVERAGE else name
