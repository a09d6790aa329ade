"""The processes of a launch on one machine: who they are told that they are, and what becomes of them when one fails."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT

RANK = """
import os, signal, sys, time
from pathlib import Path
rank, fails = os.environ["RANK"], sys.argv[1]
Path(f"rank{rank}").write_text(" ".join(os.environ[name] for name in ("LOCAL_RANK", "WORLD_SIZE", "LOCAL_SIZE", "MASTER_ADDR")))
Path(f"port{rank}").write_text(os.environ["MASTER_PORT"])
if fails == "killed" and rank == "1":
    os.kill(os.getpid(), signal.SIGKILL)
if fails == "refuses" and rank == "1":
    sys.exit(2)
if fails != "none":
    time.sleep(300)
"""


@pytest.mark.parametrize(("fails", "code"), [("none", 0), ("refuses", 2), ("killed", 137)])
def test_ranks_know_each_other_and_end_with_the_first_that_fails(tmp_path: Path, fails: str, code: int):
    (tmp_path / "rank.py").write_text(RANK)
    began = time.monotonic()
    launch = subprocess.run([sys.executable, "-m", "tasks.ranks", "2", "rank", fails], cwd=tmp_path, env={"PYTHONPATH": f"{PROJECT}:{tmp_path}"})
    assert launch.returncode == code and time.monotonic() - began < 60
    if fails == "none":
        assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == ["0 2 2 127.0.0.1", "1 2 2 127.0.0.1"]
        assert (tmp_path / "port0").read_text() == (tmp_path / "port1").read_text()
