from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Of steps 1 to 4, of which three were to be kept."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in range(1, 5):
        checkpoints.add(step, {"x": torch.full((3,), float(step))}, {"rows": [step]}, keep=3)
    return checkpoints


def steps(checkpoints: Checkpoints) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints.listed()]


def test_the_newest_are_kept_with_what_was_said_of_them(checkpoints):
    assert steps(checkpoints) == [4, 3, 2]
    assert {path.name for path in checkpoints.directory.glob("*.safetensors")} == {f"step-{step}.safetensors" for step in (2, 3, 4)}
    newest = checkpoints.newest_whole()
    assert newest.facts == {"rows": [4]} and load_file(checkpoints.path(newest))["x"].tolist() == [4.0, 4.0, 4.0]


def test_those_that_are_needed_are_kept_besides(checkpoints):
    checkpoints.add(5, {"x": torch.zeros(1)}, {}, keep=1, needed_steps=[2])
    assert steps(checkpoints) == [5, 2]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_one_is_put_aside_and_the_one_before_is_taken(checkpoints, damage, capfd):
    path = checkpoints.directory / "step-4.safetensors"
    data = path.read_bytes()
    {"cut": lambda: path.write_bytes(data[:-1]), "changed": lambda: path.write_bytes(data[:-1] + b"x"), "gone": path.unlink}[damage]()
    assert checkpoints.newest_whole().step == 3
    assert "step-4.safetensors is damaged" in capfd.readouterr().err
    assert steps(checkpoints) == [3, 2], "it does not take the place of a good one when the next is written"
    assert (checkpoints.directory / "damaged-step-4.safetensors").exists() == (damage != "gone")


def test_one_that_cannot_be_used_is_passed_over_and_kept(checkpoints):
    assert checkpoints.newest_whole(lambda checkpoint: checkpoint.step < 3).step == 2
    assert steps(checkpoints) == [4, 3, 2]


def test_what_a_killed_process_left_is_no_checkpoint(checkpoints):
    (checkpoints.directory / "step-9.safetensors").write_bytes(b"half of it")
    assert checkpoints.newest_whole().step == 4
    checkpoints.add(5, {"x": torch.zeros(1)}, {}, keep=3)
    assert not (checkpoints.directory / "step-9.safetensors").exists()


def test_a_step_that_comes_again_replaces_what_it_was(checkpoints):
    checkpoints.add(3, {"x": torch.zeros(1)}, {"rows": []}, keep=3)
    assert steps(checkpoints) == [4, 3, 2]
    assert checkpoints.listed()[1].facts == {"rows": []}
