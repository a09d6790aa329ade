import time

import pytest
import torch

from models.hardware import Hardware
from models.ladder import train_flops
from tasks.run_directory import RunDirectory
from tasks.training_meter import Meter, peak_flops
from tests.tasks.test_run_directory import SPEC

CPU = torch.device("cpu")


def test_mfu_is_the_share_of_the_peak_that_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(SPEC.key)
    run.write_spec(SPEC)
    meter = Meter(run, Hardware(peak_tflops=0.5), ranks=2, device=CPU)
    meter.begin(0)
    time.sleep(0.05)
    meter.log(3)
    [row] = run.speeds()
    assert row["tokens"] == 3 * SPEC.plan.batch_tokens
    assert row["tokens_per_second"] == pytest.approx(row["tokens"] / 0.05, rel=0.5)
    flops_per_token = train_flops(SPEC.shape, SPEC.vocab_size, SPEC.plan.sequence_length, 1)
    assert row["mfu"] == pytest.approx(row["tokens_per_second"] * flops_per_token / 1e12)


def test_steps_that_were_lost_are_measured_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(SPEC.key)
    run.write_spec(SPEC)
    for first_step in (0, 1):  # the second attempt goes on after the first step
        meter = Meter(run, Hardware(), ranks=1, device=CPU)
        meter.begin(first_step)
        for step in range(first_step + 1, 4):
            meter.log(step)
    assert [row["tokens"] for row in run.speeds()] == [step * SPEC.plan.batch_tokens for step in (1, 2, 3)]


def test_no_peak_is_made_up():
    assert peak_flops(Hardware(), CPU, "bf16") is None
