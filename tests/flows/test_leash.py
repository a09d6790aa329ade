"""A leash ends everything that it holds, whichever of its two processes is killed."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.commands import LEASH

# a child, a grandchild in a session of its own, and an orphan
FAMILY = "sleep 300 & setsid sleep 300 & (setsid sleep 300 &); touch begun; sleep 300"


def test_the_exit_code_is_the_commands():
    assert subprocess.run([*LEASH, sys.executable, "-c", "raise SystemExit(7)"]).returncode == 7
    assert subprocess.run([*LEASH, "bash", "-c", "kill -9 $$"]).returncode == 128 + 9


@pytest.mark.parametrize("killed", ["outer", "inner"])
def test_nothing_is_left_when_a_process_of_the_leash_is_killed(tmp_path: Path, killed: str):
    outer = subprocess.Popen([*LEASH, "bash", "-c", FAMILY], cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (inner,) = psutil.Process(outer.pid).children()
    held = inner.children(recursive=True)
    assert len(held) == 4
    (outer if killed == "outer" else inner).kill()
    _, alive = psutil.wait_procs([inner, *held], timeout=30)
    assert not alive
    assert outer.wait(30) == (-9 if killed == "outer" else 128 + 9)
