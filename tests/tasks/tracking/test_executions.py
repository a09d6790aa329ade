"""Kills, resumption and many processes at once: what the record says afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.run_directory import RunDirectory
from tasks.tracking import Record, record_verdict
from tests.conftest import PROJECT
from tests.tasks.tracking.small_record import CURVE, FOLLOW, RESULT, client, history, record_all, runs

WRITES = ("create_run", "update_run", "log_batch", "log_inputs", "log_text", "log_dict", "log_artifacts", "set_tag", "set_terminated", "delete_run")
LONG_CURVE = [CURVE[0] | {"tokens": tokens} for tokens in range(1, 402)] + CURVE[1:]  # more points than one request takes


def statuses(study, kind: str) -> list[str]:
    return [run.info.status for run in runs(study, kind)]


def in_another_process(work: Callable[[], object]) -> int:
    """Its exit code, or minus the signal that ended it."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(write: int, work: Callable[[], object]) -> None:
    """Does the work, and dies by SIGKILL right after it wrote to MLflow for the n-th time."""
    left = [write]

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments, **named):
            result = original(*arguments, **named)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in WRITES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    work()


@pytest.mark.slow
def test_killed_after_any_write_the_record_ends_the_same(study, monkeypatch):
    monkeypatch.setattr("tests.tasks.tracking.small_record.CURVE", LONG_CURVE)
    undisturbed = study.model_copy(update={"name": f"{study.name}-undisturbed"})
    assert in_another_process(lambda: record_all(undisturbed)) == 0
    (expected,) = runs(undisturbed, "run")

    def record() -> None:
        record_all(killed)

    write, step = 1, 7 if "MLFLOW_TRACKING_URI" in os.environ else 1  # a server takes ten times as long
    while True:
        killed = study.model_copy(update={"name": f"{study.name}-{write}"})
        if in_another_process(lambda n=write: killed_after(n, record)) == 0:
            break
        assert in_another_process(record) == 0
        (run,) = runs(killed, "run")
        assert history(run) == history(expected), f"after write {write}"
        assert (run.data.params, run.info.status) == (expected.data.params, "FINISHED")
        assert run.data.tags.keys() == expected.data.tags.keys()
        assert run.inputs and len(run.inputs.dataset_inputs) == 1
        assert statuses(killed, "study")[-1] == "FINISHED" and set(statuses(killed, "study")[:-1]) <= {"KILLED", "FINISHED"}, f"after write {write}"
        write += step
    assert write > 20


def test_a_resumed_run_goes_on_where_the_killed_one_was(study):
    assert in_another_process(lambda: killed_after(6, lambda: Record(study).follow(*FOLLOW, CURVE[:2]))) == -signal.SIGKILL
    (run,) = runs(study, "run")
    assert run.info.status == "RUNNING" and history(run)["train_loss"] == [(1000, 6.0), (2000, 5.0)]
    record = Record(study)
    assert (statuses(study, "study"), statuses(study, "run")) == (["KILLED", "RUNNING"], ["KILLED"])
    record.follow(*FOLLOW, CURVE)
    (run,) = runs(study, "run")
    assert run.info.status == "RUNNING" and run.data.tags["mlflow.parentRunId"] == record.parent_run_id
    assert history(run)["train_loss"] == [(1000, 6.0), (2000, 5.0), (3000, 4.0)]


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_what_an_exception_leaves_open_is_closed(study, error, status):
    with pytest.raises(error), Record(study) as record:
        record.follow(*FOLLOW, CURVE[:1])
        raise error
    assert statuses(study, "run") == statuses(study, "study") == [status]


def test_a_flow_that_ends_closes_the_runs_of_its_stages(study, monkeypatch):
    flow = Record(study, "flow-1")
    with monkeypatch.context() as of_stage:
        of_stage.setenv("ASSAY_PARENT_RUN_ID", flow.parent_run_id)
        Record(study).follow(*FOLLOW, CURVE[:1])  # and the stage is killed
    flow.close("KILLED")
    assert statuses(study, "run") == statuses(study, "study") == ["KILLED"]


def test_a_killed_flow_is_closed_by_whoever_comes_next_and_a_living_one_is_not(study):
    assert in_another_process(lambda: Record(study, "flow-1")) == 0  # gone without a word
    flow = Record(study, "flow-2")
    assert statuses(study, "study") == ["KILLED", "RUNNING"]
    assert Record(study).parent_run_id == flow.parent_run_id, "a stage that is run by hand beside it is part of it"
    record_verdict(study)
    assert statuses(study, "study") == ["KILLED", "RUNNING"]


def test_a_run_that_somebody_trains_is_left_alone(study):
    record = Record(study)
    record.follow(*FOLLOW, CURVE[:1])
    with RunDirectory(RESULT.run_key).lock():
        assert Record(study).parent_run_id == record.parent_run_id
    assert statuses(study, "run") == statuses(study, "study") == ["RUNNING"]


def test_stages_that_ended_without_a_report_are_finished_when_a_flow_begins(study):
    Record(study).finish(RESULT, CURVE)
    flow = Record(study, "flow-1")
    assert statuses(study, "study") == ["FINISHED", "RUNNING"]
    assert flow.flow_run_id == "flow-1"


def test_a_store_that_went_away_does_not_hide_why_an_execution_ended(study, monkeypatch, caplog):
    with pytest.raises(KeyboardInterrupt), Record(study) as record:
        record.follow(*FOLLOW, CURVE[:1])
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        record.client = record._executions.client = record.children["k1", "raw-natural 30k-1x-seed1", "raw"].client = MlflowClient(
            "http://127.0.0.1:9"
        )
        raise KeyboardInterrupt
    assert "The next execution closes what is open" in caplog.text


@pytest.mark.slow
def test_ten_processes_at_once_make_one_experiment(study, study_folder):
    """In ten checkouts, so that no lock of a folder orders them; embedded stores are a folder's own, so there all ten are in one."""
    code = "import sys; from tasks.tracking import Record; from tasks.study import load_study; sys.stdin.read(); Record(load_study())"
    shared = "MLFLOW_TRACKING_URI" in os.environ
    text = Path("params.yaml").read_text().replace("name: default", f"name: {study.name}", 1)
    processes = []
    for number in range(10):
        folder = study_folder / str(number) if shared else study_folder
        folder.mkdir(exist_ok=True)
        (folder / "params.yaml").write_text(text)
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        processes.append(subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE))
    for process in processes:  # all have imported MLflow, or are about to: off they go
        assert process.stdin
        process.stdin.close()
    for process in processes:
        assert process.stderr and process.wait() == 0, process.stderr.read()
        process.stderr.close()
    assert len(statuses(study, "study")) == (10 if shared else 1)
    assert [experiment.name for experiment in client().search_experiments()].count(study.name) == 1
