"""What `results/evaluations/<mixture>.parquet` holds: one row is one metric of one run on one benchmark."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks import layout

EVALUATION_SCHEMA = pa.schema(
    [
        ("run_key", pa.string()),
        ("run", pa.string()),
        ("mixture", pa.string()),
        ("size", pa.string()),
        ("num_params", pa.int64()),
        ("tokens", pa.int64()),  # seen in training
        ("seed", pa.int64()),
        ("checkpoint", pa.string()),  # FINAL, SNAPSHOT or AVERAGE
        ("benchmark", pa.string()),  # "heldout/<domain>", or an lm-eval task's name
        ("metric", pa.string()),  # "bits_per_byte" on held-out text; on benchmarks the names of tasks/benchmarks/choice_metrics.py, or lm-eval's own
        ("value", pa.float64()),  # null when it could not be measured, never 0
        ("stderr", pa.float64()),  # over documents or items
        ("count", pa.int64()),  # documents or items
        ("version", pa.string()),  # hash over task definition, items, metric and harness version: only equal versions are compared
    ]
)

FINAL = "final"  # the model at the end of the run
SNAPSHOT = "snapshot"  # an earlier one: `tokens` says how early
AVERAGE = "average"  # the mean over the last ones, the final one among them (evaluation.average_checkpoints)
HELDOUT = "heldout/"  # prefix of the benchmark of a held-out domain
BITS_PER_BYTE = "bits_per_byte"


def read_all(mixtures: Iterable[str]) -> pl.DataFrame:
    """One tidy table per study: what `assay rank` and `assay fit` read."""
    tables = [pq.read_table(layout.EVALUATIONS / f"{mixture}.parquet", columns=EVALUATION_SCHEMA.names) for mixture in mixtures]
    found = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(found, pl.DataFrame)
    return found


def read_decisive(path: Path) -> pa.Table:
    """The rows of a mixture's table that speak for its runs: averages over their last checkpoints where there are some, else final models."""
    table = pq.read_table(path, columns=EVALUATION_SCHEMA.names)
    decisive = AVERAGE if AVERAGE in table["checkpoint"].unique().to_pylist() else FINAL
    return table.filter(pc.equal(table["checkpoint"], decisive))
