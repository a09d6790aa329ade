"""What it costs to find a study of 500 runs up to date, by `assay run` and by `dvc repro` (`make bench-overhead`).

python -m tests.benchmarks.bench_overhead [--shapes 50x10,500x1]: mixtures x seeds. The aim for `assay run` is 5 s; exits with 1 when it is missed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.settled_study import settle

AIM_SECONDS = 5.0
COMMANDS = {"assay run": ["flows.cli", "run"], "dvc repro": ["dvc", "repro"]}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="50x10,500x1", help="mixtures x seeds, several with commas")
    missed = False
    for shape in parser.parse_args(arguments).shapes.split(","):
        mixtures, seeds = map(int, shape.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            settle(Path(folder), mixtures, seeds)
            for name, command in COMMANDS.items():
                wall_seconds, cpu_seconds = timed(command, Path(folder))
                missed |= name == "assay run" and wall_seconds > AIM_SECONDS
                print(f"{shape:>7} {name:10} {wall_seconds:7.1f} s, of the processor {cpu_seconds:7.1f} s", flush=True)
    return int(missed)


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of a command that has nothing to do."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=True, capture_output=True, text=True
    )
    wall_seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "up to date" in ended.stdout, ended.stdout
    return wall_seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
