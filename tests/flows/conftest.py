import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.services import answers
from tasks.ranks import free_port
from tests.flows.program import environment
from tests.flows.small_study import SmallStudy


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    monkeypatch.chdir(tmp_path)
    return SmallStudy(tmp_path)


@pytest.fixture
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a Prefect server in a folder of its own."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    home = environment(PREFECT_HOME=str(tmp_path_factory.mktemp("prefect")), PREFECT_SERVER_ANALYTICS_ENABLED="false")
    server = subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api"
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{url}/health"):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.2)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
