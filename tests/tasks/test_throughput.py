"""A real measurement: a launch of the training worker on made-up tokens."""

import pytest

from models.frozen import StudyError
from models.hardware import Hardware
from models.ladder import PRESETS
from models.training_plan import TrainingConfig, plan
from tasks import layout
from tasks.throughput import MEASURED, Setting, Throughput, known_throughputs, measure, setting_of, with_estimates

TRAINING = TrainingConfig(sequence_length=32)


def setting(size: str, hardware: Hardware) -> Setting:
    return setting_of(PRESETS[size], 256, plan(PRESETS[size], 256, 20_000, TRAINING), TRAINING, hardware)


@pytest.mark.slow
def test_a_measurement_trains_each_size_and_leaves_nothing_behind(study_folder):
    hardware = Hardware(ranks=2)
    settings = [setting("10k", hardware), setting("100k", hardware)]
    measure(settings, hardware)
    small, large = (known_throughputs(settings)[one.key] for one in settings)
    assert small.source == large.source == "measured"
    assert small.tokens_per_second > large.tokens_per_second > 0
    assert {path.name for path in layout.LOCAL.iterdir()} == {layout.RUN_DIRECTORIES.name, MEASURED.name}
    assert not list(layout.RUN_DIRECTORIES.iterdir())


@pytest.mark.slow
def test_a_launch_that_fails_is_said(study_folder):
    hardware = Hardware(ranks=2, zero_stage=3, micro_batch_sequences=1, hostfile="hosts")
    (study_folder / "hosts").write_text("localhost has no slots\n")
    with pytest.raises(StudyError, match="The speed of training could not be measured: '"):
        measure([setting("10k", hardware)], hardware)
    assert not MEASURED.exists()


def test_a_size_without_a_measurement_is_estimated_by_flops():
    settings = [setting(size, Hardware()) for size in ("10k", "30k", "100k")]
    known = {settings[1].key: Throughput(tokens_per_second=1000.0, source="measured")}
    small, medium, large = (with_estimates(settings, ["10k", "30k", "100k"], known)[one.key] for one in settings)
    assert medium == known[settings[1].key] and small.source == large.source == "FLOPs of 30k"
    assert large.tokens_per_second * settings[2].flops_per_token == pytest.approx(1000.0 * settings[1].flops_per_token)
