"""Continual pretraining: from a checkpoint, with its tokenizer, on new text and some of the old."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from models.frozen import StudyError
from models.hardware import Hardware
from models.ladder import PRESETS, Checkpoint, Ladder
from models.proxy_lm import ProxyLM, export_llama
from models.training_plan import TrainingConfig
from tasks import layout, pretrain
from tasks.plan import plan_study
from tasks.pretrain import planned_runs
from tasks.steps.pinned import pinned_sha256
from tasks.study import Mixture, Study
from tasks.tokenize_corpus import load_tokens
from tasks.train_tokenizer import train_bpe
from tests.tasks.token_shards import write_token_shards

VOCAB, ROWS = 300, 320  # a checkpoint may have more rows than its tokenizer has tokens


@pytest.fixture
def study(study_folder, default_study, monkeypatch) -> Study:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pinned_sha256.cache_clear()
    write_token_shards(layout.TOKENS / "raw", {"new": 60_000, "general": 20_000}, VOCAB)
    train_bpe(iter(["words"]), VOCAB).save_pretrained(layout.TOKENIZER)
    export_llama(ProxyLM(PRESETS["10k"], ROWS, seed=7), Path("base"), max_length=64)
    shutil.copy(layout.TOKENIZER / "tokenizer.json", "base")
    return default_study.model_copy(
        update={
            "mixtures": {"replay": Mixture(recipe="raw", weights={"new": 0.7, "general": 0.3})},
            "ladder": with_checkpoint(pinned_sha256(Path("base"), 0)),
            "training": TrainingConfig(sequence_length=64, batch_tokens=256, learning_rate=1e-9),
            "hardware": Hardware(ranks=1),
        }
    )


def with_checkpoint(sha256: str | None) -> Ladder:
    return Ladder(sizes=("base",), checkpoints={"base": Checkpoint(path="base", sha256=sha256)}, budget_tokens=(20 * 256,), seeds=(1,))


def planned(study: Study):
    return planned_runs(study, "replay", load_tokens(layout.TOKENS / "raw"))


def test_the_shape_is_the_checkpoints_and_its_bytes_are_part_of_the_run(study):
    [run] = planned(study)
    assert (run.rung.name, run.spec.shape, run.spec.vocab_size) == ("base-5120tok-seed1", PRESETS["10k"], ROWS)
    assert run.spec.start_sha256 == study.ladder.checkpoints["base"].sha256
    assert plan_study(study).rungs[0].num_params == sum(p.numel() for p in ProxyLM(PRESETS["10k"], ROWS, 0).parameters())


def test_another_checkpoint_or_tokenizer_is_refused(study):
    with pytest.raises(StudyError, match=r"ladder\.checkpoints\.base: 'base' is not pinned, .* write `sha256: [0-9a-f]{64}` beside it"):
        planned(study.model_copy(update={"ladder": with_checkpoint(None)}))
    for text, difference in (("many other words", "tokens in its vocabulary"), ("mouse", "is number")):
        shutil.rmtree("base")
        export_llama(ProxyLM(PRESETS["10k"], ROWS, seed=7), Path("base"), max_length=64)
        train_bpe(iter([text]), VOCAB).save_pretrained("base")
        pinned_sha256.cache_clear()
        pinned = study.model_copy(update={"ladder": with_checkpoint(pinned_sha256(Path("base"), 0))})
        with pytest.raises(StudyError, match=f"its tokenizer is not the study's .*{difference}.*: set tokenizer.path to 'base'"):
            planned(pinned)


@pytest.mark.slow
def test_a_run_starts_from_the_checkpoints_weights(study):
    """With next to no learning rate it ends with them."""
    [result] = pretrain.pretrain(study, "replay")
    before, after = (load_file(directory / "model.safetensors") for directory in (Path("base"), layout.RUNS / "replay" / result.run / "model"))
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    assert result.tokens_by_domain["general"] == pytest.approx(0.3 * 20 * 256, abs=64)
