"""A study with the chain from source to report, in git, in DVC and in MLflow, made once by the tools themselves; tests tamper with copies of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tasks import layout
from tasks.atomic import write_json
from tasks.pretrain import result_of
from tasks.run_directory import CODE, PROJECT
from tasks.study import load_study
from tasks.swarm import planned_members, row_of, write_csv
from tasks.tokenize_corpus import load_tokens
from tasks.tracking import Record, record_evaluation
from tests.flows.small_study import PARAMS, SmallStudy, stage
from tests.tasks import trained_study

FLOW_RUN = "7f3c2f5e-1111-4222-8333-444455556666"
SMALL_BATCHES = {"sequence_length": 64, "batch_tokens": 512}
CHAIN = ["ingest@files", "tokenize@raw", "pretrain@m", "evaluate@m", "fit", "report"]


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def commit(subject: str) -> str:
    git("add", ".")
    git("commit", "-qm", subject)
    return git("rev-parse", "HEAD")


def make(folder: Path) -> None:
    """The study in `folder`, which is the current directory: four runs of one mixture, trained in a flow run of Prefect."""
    SmallStudy(folder)
    write_stages()
    Path(".gitignore").write_text("data/\nresults/\nreport/\n.assay/\n.dvc/\n")
    for name in CODE:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("another training")
    git("init", "-q")
    commit("before")
    for name in CODE:
        shutil.copy(PROJECT / name, name)
    commit("code")
    for path in ("data/sources/files", "results/fit", "report"):
        write_json(Path(path) / "it.json", {"of": path})
    the_study = load_study()
    runs = trained_study.write_trained(the_study)
    for run in runs:
        shutil.copy(run.directory.metrics_file, layout.RUNS / trained_study.MIXTURE / run.rung.name)
    dvc("commit", "--force")
    record(FLOW_RUN)
    commit("lock")


def write_stages() -> None:
    def each(item: str, do: dict) -> dict:
        return {"foreach": [item], "do": do}

    stages = {
        "ingest": each("files", stage("ingest", ["in.txt"], "data/sources/${item}") | {"params": ["sources.${item}"]}),
        "tokenize": each("raw", stage("tokenize", ["data/sources", "work.py"], "data/tokens/${item}")),
        "pretrain": each("m", stage("pretrain", ["data/tokens/raw"], "results/runs/${item}")),
        "evaluate": each("m", stage("evaluate", ["results/runs/m", "data/tokens/raw"], "results/evaluations/${item}.parquet")),
        "fit": stage("fit", ["results/runs", "results/evaluations"], "results/fit"),
        "report": stage("report", ["results/fit"], "report"),
        "alone": stage("alone", ["work.py"], "data/alone"),
    }
    Path("data").mkdir(exist_ok=True)
    Path("data/alone").touch()
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def add_swarm() -> list[str]:
    """A swarm of five mixtures, trained and on record as the rest. Its run keys."""
    swarm = {"recipe": "raw", "size": "10k", "tokens_per_parameter": 0.9, "mixtures": 5}
    layout.PARAMS.write_text(yaml.safe_dump(PARAMS | {"training": SMALL_BATCHES, "swarms": {"s": swarm}}))
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    stages["swarm"] = {"foreach": ["s"], "do": stage("swarm", ["data/tokens/raw"], "results/swarms/${item}")}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    study = load_study()
    members = planned_members(study, "s", load_tokens(layout.TOKENS / "raw"))
    for run in members:
        run.directory.write_spec(run.spec)
        trained_study.finish(run)
    results = [result_of(run, f"s/{index}", "raw") for index, run in enumerate(members)]
    (layout.SWARMS / "s").mkdir(parents=True)
    write_csv([{layout.INDEX: index, **row_of(result)} for index, result in enumerate(results)], layout.SWARMS / "s" / "runs.csv")
    dvc("commit", "--force", "swarm@s")
    with Record(study) as execution:
        for run, result in zip(members, results, strict=True):
            execution.finish(result, run.directory.metrics())
    return [run.spec.key for run in members]


def record(flow_run: str) -> None:
    """What the stages of a flow run write to MLflow."""
    study = load_study()
    with Record(study, flow_run) as execution:
        for path in sorted((layout.RUNS / trained_study.MIXTURE).glob("*/result.json")):
            curve = [json.loads(line) for line in path.with_name("metrics.jsonl").read_text().splitlines()]
            execution.finish(trained_study.read_result(path), curve)
        os.environ["ASSAY_PARENT_RUN_ID"] = execution.parent_run_id
        try:
            record_evaluation(study, trained_study.MIXTURE)
        finally:
            del os.environ["ASSAY_PARENT_RUN_ID"]
        execution.close("FINISHED")
