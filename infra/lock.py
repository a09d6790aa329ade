"""Resolves pyproject.toml in a clean environment and writes requirements.lock: exact versions of everything, one per line.

Run by `make lock`. Versions carry no local label (`+cpu`): the same lock serves machines whose index has another build of torch.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HEADER = "# Exact versions of all that the environment holds. Made by `make lock`; do not edit.\n"


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/bin/python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        subprocess.run([python, "-m", "pip", "check"], check=True)
        listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True)
    lines = sorted(line.split("+")[0] for line in listed.stdout.splitlines())
    Path("requirements.lock").write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
