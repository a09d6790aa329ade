"""MLflow's own SQLite store, as `dvc repro` uses it with no server."""

import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from models.frozen import StudyError
from models.verdict import Verdict
from tasks import layout
from tasks.atomic import write_json
from tasks.evaluation_table import EVALUATION_SCHEMA
from tasks.run_directory import RunResult
from tasks.study import Study
from tasks.tracking import Record, record_evaluation, record_verdict, tracking_uri

RESULT = RunResult(
    run_key="k1",
    run="30k-1x-seed1",
    mixture="raw-natural",
    recipe="raw",
    size="30k",
    seed=1,
    initialization_seed=1,
    data_seed=1,
    status="completed",
    num_params=30_000,
    num_params_non_embedding=20_000,
    budget_tokens=3000,
    tokens_seen=3000,
    target_steps=3,
    steps=3,
    train_flops=5.4e8,
    final_train_loss=5.5,
    learning_rate=0.01,
    batch_tokens=1000,
    weights_by_domain={"code": 0.25, "legal": 0.75},
    tokens_by_domain={"code": 750, "legal": 2250},
    unique_tokens_by_domain={"code": 7500, "legal": 2250},
    tokens_md5_by_domain={"code": "c0de", "legal": "1e9a1"},
    epochs_by_domain={"code": 0.1, "legal": 1.0},
)
CURVE = [{"step": s, "tokens": 1000 * s, "train_loss": 7.0 - s, "gradient_norm": 1.0, "learning_rate": 0.01} for s in (1, 2, 3)]
VERDICT = Verdict(
    loss="bits per byte",
    target_num_params=1e7,
    target_tokens=1e8,
    confidence=0.9,
    rule="when sure",
    winner=None,
    sentence="Cannot tell.",
    mixtures=(),
    probability_better={},
    method=None,
    method_reason=None,
    methods={},
    back_tests=(),
    mixture_back_test=None,
    expected_regret=None,
    noise_floor=None,
    signal_to_noise=None,
    to_tell=None,
    refused_runs=(),
    warnings=(),
)


@pytest.fixture
def study(study_folder, default_study) -> Study:
    subprocess.run("git init -q . && git add . && git -c user.name=x -c user.email=x commit -qm x", shell=True, check=True)
    (study_folder / "dvc.lock").write_text("stages: {t: {outs: [{path: data/tokens/raw, md5: abc.dir}]}}")
    write_json(layout.FIT / "verdict.json", VERDICT.model_dump())
    layout.REPORT.mkdir()
    (layout.REPORT / "index.html").write_text("<p>report</p>")
    row = dict.fromkeys(EVALUATION_SCHEMA.names) | {"run_key": "k1", "tokens": 3000, "checkpoint": "final", "version": "v1", "stderr": 0.1}
    rows = [
        row | {"benchmark": "heldout/code", "metric": "bits_per_byte", "value": 2.5},
        row | {"benchmark": "heldout/code", "metric": "bits_per_byte", "value": 3.5, "tokens": 1000, "checkpoint": "snapshot"},
        row | {"benchmark": "heldout/code", "metric": "bits_per_byte", "value": 3.0, "checkpoint": "average"},
        row | {"benchmark": "title-choice", "metric": "accuracy", "value": 0.25},
        row | {"benchmark": "title-choice", "metric": "margin", "value": None},
    ]
    layout.EVALUATIONS.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=EVALUATION_SCHEMA), layout.EVALUATIONS / "raw-natural.parquet")
    return default_study


def test_an_execution_from_its_first_run_to_its_verdict(study):
    follow = ("k1", RESULT.run, "raw-natural", "raw")
    child = Record(study).follow(*follow, CURVE[:2])
    resumed = Record(study).follow(*follow, CURVE)  # another process, after a kill
    Record(study).finish(RESULT, CURVE)
    record_evaluation(study, "raw-natural")
    parent_run_id = Record(study).parent_run_id
    record_verdict(study)

    client = MlflowClient(tracking_uri())
    run = client.get_run(resumed.run_id)
    assert resumed.run_id == child.run_id
    assert [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "train_loss")] == [(1000, 6.0), (2000, 5.0), (3000, 4.0)]
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent_run_id
    assert run.data.tags["data.tokens.md5"] == "abc.dir"
    assert len(run.data.tags["git.commit"]) == 40
    assert "git.dirty" not in run.data.tags
    assert run.data.params["weight/legal"] == "0.75"
    assert [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "bits_per_byte/code")] == [(1000, 3.5), (3000, 2.5)]
    assert (run.data.metrics["bits_per_byte/code"], run.data.metrics["bits_per_byte/code/average"]) == (2.5, 3.0)
    assert run.data.metrics["title-choice/accuracy"] == 0.25
    assert "title-choice/margin" not in run.data.metrics
    assert run.inputs
    assert [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs] == [("data/tokens/raw", "abc")]

    parent = client.get_run(parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["assay.winner"] == "cannot tell"
    assert {a.path for a in client.list_artifacts(parent_run_id)} >= {"report", "fit", "params.yaml", "data_md5s.json"}
    assert Record(study).parent_run_id != parent_run_id, "the next execution has a parent of its own"


def test_a_diverged_run_is_failed_and_a_flow_owns_its_parent(study, monkeypatch):
    flow = Record(study)
    monkeypatch.setenv("ASSAY_PARENT_RUN_ID", flow.parent_run_id)
    monkeypatch.setenv("ASSAY_FLOW_RUN_ID", "flow-1")
    diverged = RESULT.model_copy(update={"run_key": "k2", "status": "diverged", "final_train_loss": None})
    Record(study).finish(diverged, CURVE[:1])
    child = Record(study).follow("k2", "x", "raw-natural", "raw", [])
    record_verdict(study)
    run = flow.client.get_run(child.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["prefect.flow_run_id"] == "flow-1"
    assert "final_train_loss" not in run.data.metrics
    assert flow.client.get_run(flow.parent_run_id).info.status == "RUNNING"
    flow.close("FINISHED")
    assert flow.client.get_run(flow.parent_run_id).info.status == "FINISHED"


def test_a_server_that_does_not_answer_is_one_sentence(study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match=r"MLflow at http://127.0.0.1:9 refused: .* Start it \(`assay up`\)"):
        Record(study)
