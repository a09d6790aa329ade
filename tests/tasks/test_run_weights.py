"""Hooks while real ranks train: what they set, and that neither a kill nor the number of ranks changes it."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from models.frozen import StudyError
from models.hardware import Hardware
from models.ladder import Ladder
from models.training_plan import TrainingConfig
from models.weight_hooks.aioli import Aioli
from models.weight_hooks.doremi import DoReMi
from models.weight_hooks.sample_reweighting import SampleReweighting
from models.weight_hooks.schedule import WeightsSet
from tasks import layout, pretrain
from tasks.atomic import write_json
from tasks.pretrain import planned_runs
from tasks.probes.training_text import TrainingText
from tasks.run_directory import PROJECT, RunDirectory, RunOutcome, RunResult
from tasks.study import Mixture, Study
from tasks.tokenize_corpus import MANIFEST, DomainWriter, TokensManifest, load_tokens
from tasks.train_tokenizer import train_bpe

VOCAB, LENGTH = 64, 32
HOOKS = {
    "doremi": DoReMi(intervals=10, validation_sequences=8, step_size=2.0),
    "aioli": Aioli(intervals=2, sweeps=1, validation_sequences=8, step_size=1.0),
    "sample-reweighting": SampleReweighting(burn_in_share=0.2),
}


@pytest.fixture
def study(study_folder, default_study, monkeypatch) -> Study:
    """Two domains, a cycle of tokens that is soon known and noise that nothing can know; runs of 60 steps."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    generator = np.random.default_rng(0)
    directory = layout.TOKENS / "raw"
    directory.mkdir(parents=True)
    records = {}
    for domain, tokens in {"noise": generator.integers(1, VOCAB, 20_000), "cycle": 1 + np.arange(20_000) * 7 % (VOCAB - 1)}.items():
        with (directory / f"{domain}.bin").open("wb") as file:
            writer = DomainWriter(file, np.dtype(np.uint16))
            writer.add("", [*tokens.tolist(), 0])
        records[domain] = writer.record()
    write_json(directory / MANIFEST, TokensManifest(vocab_size=VOCAB, dtype="uint16", end_of_text_id=0, domains=records).model_dump())
    train_bpe(iter(["words"]), 300).save_pretrained(layout.TOKENIZER)
    return default_study.model_copy(
        update={
            "mixtures": {name: Mixture(recipe="raw", weights="uniform", hook=hook) for name, hook in HOOKS.items()},
            "ladder": Ladder(sizes=("30k",), tokens_per_parameter=(0.56,), seeds=(1,)),
            "training": TrainingConfig(sequence_length=LENGTH, batch_tokens=8 * LENGTH, learning_rate=0.01),
            "hardware": Hardware(ranks=2, checkpoint_every_seconds=0.05),
        }
    )


def plans(study: Study, mixture: str) -> list[pretrain.PlannedRun]:
    return planned_runs(study, mixture, load_tokens(layout.TOKENS / "raw"))


def published(mixture: str) -> dict[str, bytes]:
    folder = layout.RUNS / mixture
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(result: RunResult) -> list[dict]:
    return [json.loads(line) for line in (layout.RUNS / result.mixture / result.run / "metrics.jsonl").read_text().splitlines()]


def test_a_hook_makes_another_run_and_its_reference_is_the_same_without_it(study):
    [run] = plans(study, "doremi")
    assert run.reference is not None
    assert run.reference.spec == run.spec.model_copy(update={"hook": None})
    assert run.reference.spec.key != run.spec.key
    assert [len(tokens) for tokens in run.stream.tokens] == [20_001 - 8 * LENGTH] * 2
    assert [one.name for one in pretrain.with_references([run])] == [f"{run.rung.name} (reference)", run.rung.name]
    assert plans(study, "aioli")[0].reference is None


def test_a_run_too_short_for_its_hook_is_a_sentence(study):
    study.mixtures["aioli"] = Mixture(recipe="raw", weights="uniform", hook=Aioli())
    with pytest.raises(
        StudyError, match=r"Run 30k-0\.56x-seed1 of mixture 'aioli' can't be trained: the hook's 20 rounds of 4 turns leave less than"
    ):
        plans(study, "aioli")
    study.mixtures["aioli"] = Mixture(recipe="raw", weights="uniform", hook=Aioli(validation_sequences=400))
    with pytest.raises(StudyError, match=r"domain 'cycle' has 20001 tokens, and withholding 400 sequences of 32 would leave less than half"):
        plans(study, "aioli")


def test_a_run_that_diverges_in_its_first_turn_has_read_what_it_has_and_learnt_nothing(study):
    [run] = plans(study, "aioli")
    turn = WeightsSet(step=0, losses_by_domain={"cycle": 4.0, "noise": 4.0}, weights_by_domain={"cycle": 0.75, "noise": 0.25})
    outcome = RunOutcome(status="diverged", steps=3, final_train_loss=None, weights_set=(turn,))
    write_json(run.directory.result_file, outcome.model_dump())
    result = pretrain.result_of(run, "aioli", "raw")
    assert (result.learnt_weights_by_domain, result.weights_by_domain) == (None, {"cycle": 0.75, "noise": 0.25})
    assert result.tokens_by_domain == {"cycle": 18 * LENGTH, "noise": 6 * LENGTH}


def kill_after_step(step: int, key: str, mixture: str) -> None:
    """Starts the stage, and kills it after a checkpoint of a later step."""
    stage = subprocess.Popen([sys.executable, "-m", "tasks.pretrain", mixture], env=os.environ | {"PYTHONPATH": str(PROJECT)})
    listed, deadline = RunDirectory(key).checkpoints / "list.json", time.monotonic() + 180
    while not (listed.exists() and json.loads(listed.read_text())[0]["step"] > step):
        assert stage.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    stage.send_signal(signal.SIGKILL)
    stage.wait()


@pytest.mark.slow
def test_doremi_takes_the_weight_from_noise_and_a_kill_or_another_number_of_ranks_changes_nothing(study):
    [result] = pretrain.pretrain(study, "doremi")
    [run] = plans(study, "doremi")
    assert run.reference and run.reference.directory.is_finished
    assert [stage.after for stage in result.stages] == [interval / 10 for interval in range(10)]
    assert result.stages[0].weights_by_domain == {"cycle": 0.5, "noise": 0.5}
    assert result.learnt_weights_by_domain and result.learnt_weights_by_domain["cycle"] > 0.6
    assert result.weights_by_domain == {domain: tokens / result.tokens_seen for domain, tokens in result.tokens_by_domain.items()}
    mean = {domain: sum(stage.weights_by_domain[domain] for stage in result.stages) / 10 for domain in ("cycle", "noise")}
    assert result.weights_by_domain == pytest.approx(mean, abs=0.01)
    rows = rows_of(result)
    assert rows[-1]["weights_by_domain"] == result.stages[-1].weights_by_domain
    assert all(loss >= 0 for loss in rows[-1]["losses_by_domain"].values())
    read = TrainingText(layout.TOKENS / "raw", result, result.tokens_seen, LENGTH).windows_read
    assert {domain: int(windows.sum()) * LENGTH for domain, windows in read.items()} == result.tokens_by_domain, "a result tells what was read"
    undisturbed = published("doremi")

    layout.PARAMS.write_text(json.dumps(study.model_dump(mode="json", by_alias=True)))
    run.directory.path.rename("undisturbed")
    kill_after_step(run.plan.steps // 4, run.spec.key, "doremi")
    assert not run.directory.is_finished
    pretrain.pretrain(study, "doremi")
    assert published("doremi") == undisturbed, "to the same bits"

    run.directory.path.rename("resumed")
    [alone] = pretrain.pretrain(study.model_copy(update={"hardware": Hardware(ranks=1)}), "doremi")
    assert (alone.stages, alone.tokens_by_domain) == (result.stages, result.tokens_by_domain), "the same stream"


@pytest.mark.slow
def test_aioli_finds_while_training_that_noise_helps_nothing_also_where_ranks_share_the_parameters(study):
    [result] = pretrain.pretrain(study.model_copy(update={"hardware": Hardware(ranks=2, zero_stage=3)}), "aioli")
    turns_and_rounds = [stage.weights_by_domain["cycle"] for stage in result.stages]
    assert turns_and_rounds[0:2] == turns_and_rounds[3:5] == [0.75, 0.25]
    assert turns_and_rounds[2] > 0.5
    assert result.learnt_weights_by_domain and result.learnt_weights_by_domain["cycle"] > 0.5


@pytest.mark.slow
def test_reweighted_sequences_give_the_same_losses_on_one_and_two_ranks_and_others_than_even_ones(study):
    study.mixtures["even"] = Mixture(recipe="raw", weights="uniform")
    curves = {}
    for mixture, ranks in (("even", 2), ("sample-reweighting", 2), ("sample-reweighting", 1)):
        hardware = Hardware(ranks=ranks, micro_batch_sequences=2, zero_stage=3 if mixture != "even" and ranks == 2 else 0)
        [result] = pretrain.pretrain(study.model_copy(update={"hardware": hardware}), mixture)
        curves[mixture, ranks] = [row["train_loss"] for row in rows_of(result)]
        RunDirectory(result.run_key).path.rename(f"{mixture}-{ranks}")
    [even, two, one] = curves.values()
    assert two == pytest.approx(one, abs=1e-4)
    burn_in = math.floor(0.2 * len(even)) - 1
    assert two[:burn_in] == pytest.approx(even[:burn_in], abs=1e-4)
    assert two[-1] != pytest.approx(even[-1], abs=1e-4)
