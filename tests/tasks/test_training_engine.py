"""What the engine says when the machine refuses."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.frozen import StudyError
from tasks.stage import MAY_HEAL, TemporaryError
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow  # DeepSpeed takes seconds to import


def test_a_port_that_is_taken_is_one_sentence_and_may_be_tried_again(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_SIZE": "1"}
        (tmp_path / "launch.json").write_text('{"run_keys": [], "tokens": "", "snapshots": [], "hardware": {}}')
        command = [sys.executable, "-m", "tasks.pretrain_worker", "launch.json"]
        rank = subprocess.run(command, cwd=tmp_path, env=os.environ | place | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert rank.returncode == MAY_HEAL
    assert f"assay: The ranks can't meet at 127.0.0.1:{port}: the port is taken." in rank.stderr.splitlines()[-1]


def test_a_gpu_that_is_lost_or_full_is_one_sentence(monkeypatch):
    from tasks.training_engine import device_errors_in_words

    monkeypatch.setenv("RANK", "3")
    with (
        pytest.raises(TemporaryError, match=r"Rank 3 on .* lost its GPU \(CUDA error: unspecified launch failure\): run the"),
        device_errors_in_words(),
    ):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ...")
    with pytest.raises(StudyError, match=r"Not enough GPU memory \(CUDA out of memory\. Tried to allocate 2 GiB\): lower"), device_errors_in_words():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def test_what_needs_a_compiler_says_so_where_there_is_none(monkeypatch, tmp_path: Path):
    from tasks.training_engine import raise_without_compiler

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(StudyError, match=r"training\.compiled needs a C\+\+ compiler"):
        raise_without_compiler()
    (tmp_path / "g++").write_text("")
    (tmp_path / "g++").chmod(0o755)
    assert shutil.which("g++")
    raise_without_compiler()
