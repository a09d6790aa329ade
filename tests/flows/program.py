"""`assay` run as people run it: a program of its own."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "flows.cli"]


def environment(**more: str) -> dict[str, str]:
    """Ours, without what the person who runs the tests may have set for servers of their own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "ASSAY_"))}
    return {**ours, "PYTHONPATH": str(PROJECT), **more}


def assay(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], env=environment(**more), capture_output=True, text=True)


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found
