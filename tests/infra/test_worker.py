"""`infra/worker.py`, as far as it comes without a server."""

import os
import subprocess
import sys

from tests.infra.compose_file import INFRA, PROJECT


def run_worker(*arguments, **environment):
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environment}
    return subprocess.run([sys.executable, INFRA / "worker.py", *arguments], env=ours, capture_output=True, text=True)


def test_it_says_what_it_needs():
    for arguments, environment in ((("assay",), {}), ((), {"PREFECT_API_URL": "http://127.0.0.1:1/api"})):
        done = run_worker(*arguments, **environment)
        assert done.returncode == 2
        assert done.stderr == "assay: A worker needs a pool and a server: PREFECT_API_URL=http://host:4200/api python infra/worker.py POOL.\n"
