"""`infra/new_env.py`: secrets for one person's eyes, never overwritten."""

import stat
import subprocess
import sys

from tests.infra.compose_file import INFRA


def new_env(path):
    return subprocess.run([sys.executable, INFRA / "new_env.py", path], capture_output=True, text=True)


def test_only_the_owner_may_read_them(tmp_path):
    assert new_env(tmp_path / "env").returncode == 0
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_the_shell_reads_what_it_writes(tmp_path):
    new_env(tmp_path / "env")
    shown = subprocess.run(["sh", "-eac", f". {tmp_path}/env; env"], capture_output=True, text=True, check=True, env={}).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    assert values["PREFECT_API_AUTH_STRING"].startswith("assay:") and len(values["MLFLOW_TRACKING_PASSWORD"]) == 32
    assert values["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8333"


def test_secrets_in_use_are_not_overwritten(tmp_path):
    new_env(tmp_path / "env")
    before = (tmp_path / "env").read_text()
    done = new_env(tmp_path / "env")
    assert done.returncode == 1 and "its secrets may be in use" in done.stderr
    assert (tmp_path / "env").read_text() == before
