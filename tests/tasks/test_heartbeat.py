import time
from pathlib import Path

import pytest

from tasks.heartbeat import Heartbeat, Pulse
from tasks.launches import raise_if_hung
from tasks.stage import TemporaryError


def test_silence_counts_from_the_last_step_of_any_rank(tmp_path: Path):
    pulse = Pulse(tmp_path / "beats")
    time.sleep(0.05)
    assert pulse.silence_seconds() >= 0.05, "ranks that never come count too"
    ranks = [Heartbeat(tmp_path / "beats", rank) for rank in range(2)]
    for rank in ranks:
        rank.beat()
    assert pulse.silence_seconds() < 0.05
    time.sleep(0.05)
    assert pulse.silence_seconds() >= 0.05 and pulse.who() == "all ranks hang"
    ranks[0].beat()
    assert pulse.silence_seconds() < 0.05 and pulse.who() == "rank 1 hangs"


def test_beats_of_an_earlier_launch_are_none(tmp_path: Path):
    Heartbeat(tmp_path / "beats", 7).beat()
    pulse = Pulse(tmp_path / "beats")
    Heartbeat(tmp_path / "beats", 0).beat()
    pulse.silence_seconds()
    assert pulse.beats == {"0": 1}


def test_a_launch_that_hangs_is_one_sentence(tmp_path: Path):
    pulse = Pulse(tmp_path / "beats")
    raise_if_hung(pulse, 60, "mixture 'even'", tmp_path / "log")
    time.sleep(0.02)
    with pytest.raises(TemporaryError, match=r"In mixture 'even' .* no step for 0\.01 seconds \(hardware\.hang_seconds\), and all were ended"):
        raise_if_hung(pulse, 0.01, "mixture 'even'", tmp_path / "log")
