"""One run read out at several horizons, and the mean of its last models."""

import pytest
import torch
from safetensors.torch import load_file

from models.hardware import Hardware
from models.ladder import Ladder
from models.training_plan import TrainingConfig
from tasks import layout, pretrain
from tasks.plan import plan_study
from tasks.pretrain import planned_runs
from tasks.study import Mixture, Study
from tasks.timings import timing_of
from tasks.tokenize_corpus import load_tokens
from tasks.train_tokenizer import train_bpe
from tests.tasks.token_shards import write_token_shards

VOCAB = 300


@pytest.fixture
def study(study_folder, default_study, monkeypatch) -> Study:
    """One size at two horizons, of 30 and 60 steps."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_token_shards(layout.TOKENS / "raw", {"code": 60_000, "legal": 20_000}, VOCAB)
    train_bpe(iter(["words"]), VOCAB).save_pretrained(layout.TOKENIZER)
    return default_study.model_copy(
        update={
            "mixtures": {"even": Mixture(recipe="raw", weights={"code": 0.5, "legal": 0.5})},
            "ladder": Ladder(sizes=("10k",), budget_tokens=(30 * 256, 60 * 256), seeds=(1,)),
            "training": TrainingConfig(sequence_length=64, batch_tokens=256, schedule="wsd", shared_trunk=True, warmup_share=0.1),
            "hardware": Hardware(ranks=1),
        }
    )


def changed(study: Study, part: str, **changes: object) -> Study:
    return study.model_copy(update={part: getattr(study, part).model_copy(update=changes)})


def test_horizons_share_a_trunk_unless_a_model_must_be_kept_before_it_ends(study):
    corpus = load_tokens(layout.TOKENS / "raw")
    short, long = planned_runs(study, "even", corpus)
    assert (short.shared_steps, long.shared_steps, long.trunks) == (0, 24, (short,))
    with_snapshots = planned_runs(changed(study, "ladder", snapshots=(0.1,)), "even", corpus)
    assert [run.shared_steps for run in with_snapshots] == [0, 0]
    assert [run.spec.key for run in with_snapshots] == [short.spec.key, long.spec.key]


@pytest.mark.slow
def test_a_decay_from_a_shared_trunk_ends_with_the_bits_of_training_that_horizon_alone(study):
    """Also when it is asked for later; and what it cost is what it trained."""
    pretrain.pretrain(changed(study, "ladder", budget_tokens=(30 * 256,)), "even")
    shared = pretrain.pretrain(study, "even")
    short, long = planned_runs(study, "even", load_tokens(layout.TOKENS / "raw"))
    timing = timing_of(long.directory)
    assert timing and timing.first_step == 24
    assert (shared[1].tokens_seen, shared[1].shared_steps) == (60 * 256, 24)
    planned = plan_study(study)
    assert planned.tokens == (30 + 60 - 24) * 256 and planned.shared_tokens == 24 * 256
    assert planned.trained.tokens == planned.tokens and planned.trained.train_flops == pytest.approx(planned.train_flops)

    with_trunk = {path.name: path.read_bytes() for path in (long.directory.metrics_file, long.directory.model / "model.safetensors")}
    for run in (short, long):
        run.directory.path.rename(run.directory.path.with_suffix(".before"))
    runs_alone = pretrain.pretrain(changed(study, "ladder", snapshots=(0.1,)), "even")
    assert {path.name: path.read_bytes() for path in (long.directory.metrics_file, long.directory.model / "model.safetensors")} == with_trunk
    assert (alone := timing_of(long.directory)) and alone.first_step == 0
    assert [result.model_copy(update={"shared_steps": 0}) for result in shared] == runs_alone


@pytest.mark.slow
def test_the_model_of_a_constant_rate_is_the_mean_of_its_last(study):
    constant = study.model_copy(
        update={
            "ladder": Ladder(sizes=("10k",), budget_tokens=(30 * 256,), seeds=(1,), snapshots=(0.9,)),
            "training": TrainingConfig(sequence_length=64, batch_tokens=256, schedule="constant", average_models=2, decay_share=0.2),
        }
    )
    [run] = planned_runs(constant, "even", load_tokens(layout.TOKENS / "raw"))
    assert run.plan.averaged_steps == (27, 30)
    pretrain.pretrain(constant, "even")
    assert sorted(path.name for path in run.directory.snapshots.iterdir()) == ["step-27"], "what only the mean needed is gone"
    mean, first = (load_file(directory / "model.safetensors") for directory in (run.directory.model, run.directory.snapshot(27)))
    last_alone = changed(constant, "training", average_models=1)
    pretrain.pretrain(last_alone, "even")
    [other] = planned_runs(last_alone, "even", load_tokens(layout.TOKENS / "raw"))
    last = load_file(other.directory.model / "model.safetensors")
    for name, weights in mean.items():
        assert torch.equal(weights, ((first[name].double() + last[name].double()) / 2).float()), name
