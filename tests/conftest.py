"""What all tests share: the default study, and a clean place to run it in."""

# ruff: noqa: E402 (the environment decides how many threads NumPy starts when it is imported)
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # tests share cores with each other and with the processes that they start

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a script is deaf to Ctrl-C, and so is all that it starts

import pytest

from tasks.study import Study, load_study
from tests.postgres import running_postgres

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def default_study() -> Study:
    return load_study(PROJECT / "params.yaml")


@pytest.fixture
def study_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder with the default params.yaml, which is the current directory; settings of the caller's shell do not reach it."""
    for name in ("MLFLOW_TRACKING_URI", "ASSAY_PARENT_RUN_ID", "ASSAY_FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text())
    return tmp_path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The url of a real one, without a database's name."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def run_stage():
    """Runs `python -m tasks.<stage>` in a folder, as DVC does."""

    def run(folder: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        return subprocess.run(
            [sys.executable, "-m", f"tasks.{stage}", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run
