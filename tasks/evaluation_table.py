"""What `results/evaluations/<mixture>.parquet` holds: one row is one metric of one run on one benchmark."""

import pyarrow as pa

EVALUATION_SCHEMA = pa.schema(
    [
        ("run_key", pa.string()),
        ("run", pa.string()),
        ("mixture", pa.string()),
        ("size", pa.string()),
        ("num_params", pa.int64()),
        ("tokens", pa.int64()),  # seen in training
        ("seed", pa.int64()),
        ("benchmark", pa.string()),  # "heldout/<domain>", or an lm-eval task's name
        ("metric", pa.string()),  # "bits_per_byte" on held-out text; on benchmarks the names of tasks/benchmarks/choice_metrics.py, or lm-eval's own
        ("value", pa.float64()),  # null when it could not be measured, never 0
        ("stderr", pa.float64()),  # over documents or items
        ("count", pa.int64()),  # documents or items
        ("version", pa.string()),  # hash over task definition, items, metric and harness version: only equal versions are compared
    ]
)

HELDOUT = "heldout/"  # prefix of the benchmark of a held-out domain
BITS_PER_BYTE = "bits_per_byte"
