"""A real MLflow server as a team runs it: runs in Postgres, artifacts in an S3 store through the server."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.postgres import create_database
from tests.tasks.local_store import LocalStore

START_SECONDS = 120.0


class MlflowOnPostgres:
    """Runs from when it is made until `close`."""

    def __init__(self, postgres: str, store: LocalStore, folder: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url, self._log = f"http://127.0.0.1:{port}", folder / "mlflow.log"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
        command += ["--backend-store-uri", create_database(postgres, "mlflow"), "--artifacts-destination", "s3://record/mlflow"]
        environment = os.environ | store.environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._server.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def close(self) -> None:
        os.killpg(self._server.pid, signal.SIGTERM)
        self._server.wait()
