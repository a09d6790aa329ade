"""How long the record of a large study takes: to write through `Record`, and to open and compare in MLflow's pages.

    python -m tests.benchmarks.bench_record [RUNS]

Runs are made up, the writing is the stages' own. The pages' requests are those that a browser sends when it opens the experiment, loads all runs,
and draws them side by side; each figure is the median of five.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml
from mlflow import MlflowClient

from models.verdict import MixtureVerdict
from tasks import layout
from tasks.atomic import write_json
from tasks.evaluation_table import EVALUATION_SCHEMA
from tasks.study import Study, load_study
from tasks.tracking import Record, record_evaluation, record_verdict, tracking_uri
from tests.conftest import PROJECT
from tests.tasks.tracking.small_record import RESULT, VERDICT, write_evaluation, write_run

DOMAINS = ("api", "code", "dictionary", "encyclopedia", "foreign", "legal", "literature", "wikitext")
BENCHMARKS, METRICS = ("definition-choice", "title-choice", "last-word"), 8
RUNS_PER_MIXTURE, ROWS = 10, 50
COMPARED = 10  # runs whose curves are drawn together: what MLflow shows of an experiment that is opened


def main(num_runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        subprocess.run(["git", "init", "-q"], check=True)
        study = made_up_study(num_runs // RUNS_PER_MIXTURE)
        seconds = {"train": 0.0, "evaluate": 0.0}
        for number, mixture in enumerate(study.mixtures):
            seconds["train"] += timed(lambda n=number, m=mixture: record_training(study, m, n))
            seconds["evaluate"] += timed(lambda m=mixture: record_evaluation(study, m))
        seconds["train again"] = timed(lambda: record_training(study, next(iter(study.mixtures)), 0)) * len(study.mixtures)
        seconds["report"] = timed(lambda: record_report(study))
        print(f"{num_runs} runs in {len(study.mixtures)} mixtures, {(ROWS * 3 + 40) * num_runs:,} points, on {tracking_uri().split(':')[0]}")
        for name, spent in seconds.items():
            print(f"  write, {name:12} {spent:8.1f} s  {1000 * spent / num_runs:8.1f} ms a run")
        measure_pages(study, num_runs)


def made_up_study(num_mixtures: int) -> Study:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values["mixtures"] = {f"mixture-{number}": {"recipe": "raw", "weights": weights(number)} for number in range(num_mixtures)}
    layout.PARAMS.write_text(yaml.safe_dump(values | {"name": "bench"}))
    return load_study()


def weights(number: int) -> dict[str, float]:
    parts = [1 + (number * prime) % 7 for prime in (1, 2, 3, 5, 11, 13, 17, 19)]
    return {domain: part / sum(parts) for domain, part in zip(DOMAINS, parts, strict=True)}


def record_training(study: Study, mixture: str, number: int) -> None:
    """As the stage pretrain does, and as evaluate finds it."""
    curve = [{"step": s, "tokens": 1000 * s, "train_loss": 7 - s / 50, "gradient_norm": 1.0, "learning_rate": 0.01} for s in range(1, ROWS + 1)]
    rows: list[dict[str, object]] = []
    with Record(study) as record:
        for seed in range(RUNS_PER_MIXTURE):
            changes = {"mixture": mixture, "run": f"30k-1x-seed{seed}", "run_key": f"{number}-{seed}", "seed": seed, "tokens_seen": 1000 * ROWS}
            result = RESULT.model_copy(update={**changes, "weights_by_domain": weights(number), "epochs_by_domain": dict.fromkeys(DOMAINS, 0.1)})
            record.follow(result.run_key, result.run, mixture, result.recipe, curve[: ROWS // 2])
            record.finish(result, curve)
            write_run(result, curve)
            rows += evaluation(mixture, result.run, result.run_key, number + seed / 10)
    write_evaluation(rows, mixture)


def evaluation(mixture: str, run: str, run_key: str, value: float) -> list[dict[str, object]]:
    its = {"run": run, "run_key": run_key, "mixture": mixture, "tokens": 1000 * ROWS, "checkpoint": "final"}
    empty = dict.fromkeys(EVALUATION_SCHEMA.names) | its
    of_text: list[dict[str, object]] = [empty | {"benchmark": f"heldout/{domain}", "metric": "bits_per_byte", "value": value} for domain in DOMAINS]
    return of_text + [empty | {"benchmark": name, "metric": f"metric-{m}", "value": value} for name in BENCHMARKS for m in range(METRICS)]


def record_report(study: Study) -> None:
    mixtures = tuple(MixtureVerdict(mixture=name, predicted_loss=None, probability_best=0.5, law=None, runs_used=1) for name in study.mixtures)
    write_json(layout.FIT / "verdict.json", VERDICT.model_copy(update={"mixtures": mixtures}).model_dump())
    layout.REPORT.mkdir()
    record_verdict(study)


def measure_pages(study: Study, num_runs: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    stores = ["--backend-store-uri", tracking_uri(), "--no-serve-artifacts", "--default-artifact-root", "artifacts"]
    command = [sys.executable, "-m", "mlflow", "server", *stores, "--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1], "--workers", "1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with Path("server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"{url}/ajax-api/2.0/mlflow", timeout=120) as client:
            wait_for(client, url)
            ask(client, study, num_runs)
    finally:
        server.terminate()
        server.wait()


def wait_for(client: httpx.Client, url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if client.get(f"{url}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("MLflow's server does not answer.")


def ask(client: httpx.Client, study: Study, num_runs: int) -> None:
    experiment = MlflowClient(tracking_uri()).get_experiment_by_name(study.name)
    assert experiment
    found: list[dict[str, dict[str, str]]] = []

    def search(at_most: int) -> None:
        """As the page does: newest first, a page of runs at a time."""
        token, runs = None, []
        while len(runs) < at_most and token != "":
            body = {"experiment_ids": [experiment.experiment_id], "max_results": 100, "order_by": ["attributes.start_time DESC"]}
            answer = client.post("/runs/search", json=body | ({"page_token": token} if token else {})).raise_for_status().json()
            token, runs = answer.get("next_page_token", ""), runs + answer["runs"]
        found[:] = runs

    def curves(metrics: tuple[str, ...], runs: int) -> None:
        ids = [run["info"]["run_id"] for run in found[:runs]]
        for metric in metrics:
            asked = {"run_ids": ids, "metric_key": metric, "max_results": 320}
            client.get("/metrics/get-history-bulk-interval", params=asked).raise_for_status()

    report("open the experiment (its newest 100 runs)", lambda: search(100))
    report(f"load all {num_runs} runs", lambda: search(num_runs + 1))
    report(f"draw three curves of {COMPARED} runs", lambda: curves(("train_loss", "gradient_norm", "learning_rate"), COMPARED))
    report("draw one curve of 100 runs", lambda: curves(("train_loss",), 100))


def report(name: str, work: Callable[[], None]) -> None:
    print(f"  {name:44} {statistics.median(timed(work) for _ in range(5)):8.2f} s")


def timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
