"""The lock is what is installed, and what it resolves to works together."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

LOCK = Path("requirements.lock")
FIXED_BY_THE_USER = ["prefect", "dvc.repo", "mlflow", "torch", "deepspeed", "datasets", "fasttext", "boto3"]


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_every_line_is_an_exact_version():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", f"{name}=={version}") for name, version in locked().items())
    assert locked()["torch"] == "2.13.0"


def test_the_environment_is_the_lock():
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in locked()}
    wrong = {name: (version, installed[name]) for name, version in locked().items() if installed[name] != version}
    assert not wrong, "run `make demo` or `make test`, which build .venv from requirements.lock"


@pytest.mark.parametrize("module", FIXED_BY_THE_USER)
def test_imports(module):
    importlib.import_module(module)


def test_nothing_that_is_installed_contradicts_another():
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_importing_the_study_is_light():
    """A stage's start is paid dozens of times: the vocabulary must not pull in the heavy libraries."""
    heavy = "torch", "transformers", "datasets", "mlflow", "deepspeed", "lm_eval", "scipy"
    code = f"import sys, tasks.study; print(*[module for module in {heavy} if module in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "."})
    assert ended.stdout.strip() == ""
