"""Where each product lies, relative to the study's folder. `dvc.yaml` names the same paths; DVC fails a stage that wrote elsewhere."""

from pathlib import Path

PARAMS = Path("params.yaml")
SOURCES = Path("data/sources")  # <source>/part-*.parquet: one row is a document as its source gives it
HELDOUT = Path("data/heldout")  # part-*.parquet: one row is a document that no training set holds, nor a near-duplicate of it
ITEMS = Path("data/items")  # own/, <name of item_files>/: benchmarks as lm-eval tasks, <task>.yaml beside <task>.jsonl
STEPS = Path("data/steps")  # <recipe>.json: the digest of the code of each of its steps
CORPORA = Path("data/corpora")  # <recipe>/kept/part-*.parquet, <recipe>/removed/part-*.parquet, <recipe>/funnel.json
TOKENIZER = Path("data/tokenizer")  # tokenizer.json and its config, as transformers loads them
TOKENS = Path("data/tokens")  # <recipe>/<domain>.bin, <domain>.offsets.npy, manifest.json
RUNS = Path("results/runs")  # <mixture>/<run name>/result.json, metrics.jsonl, model/
EVALUATIONS = Path("results/evaluations")  # <mixture>.parquet: one row is one metric of one run on one benchmark
SWARMS = Path("results/swarms")  # <swarm>/mixtures.csv, losses.csv, runs.csv, available.csv: tables for `assay mix`
PROPOSALS = Path("results/proposals")  # <swarm>.json
INDEX = "index"  # the column that names a run in the tables of a swarm: its place among the samples
FIT = Path("results/fit")  # runs.parquet, laws.json, verdict.json
REPORT = Path("report")  # index.html, plots/*.csv

LOCAL = Path(".assay")  # never in DVC: partial work that survives a kill, caches, the embedded servers' state
ARCHIVES = LOCAL / "archives"  # fetched archives by sha256
MLFLOW = LOCAL / "mlflow"  # the embedded record of runs: SQLite and artifacts
RUN_DIRECTORIES = LOCAL / "runs"  # <run key>/: checkpoints, metrics, result

POOL = "pool"  # the name of the zeroth corpus: all sources, without the held-out documents and their near-duplicates


def kept(corpus: str) -> Path:
    return CORPORA / corpus / "kept"


def removed(corpus: str) -> Path:
    return CORPORA / corpus / "removed"


def funnel(corpus: str) -> Path:
    return CORPORA / corpus / "funnel.json"
