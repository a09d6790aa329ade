"""A real Postgres on the loopback interface, from the system's packages (Debian: postgresql), in a folder of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


def binaries() -> Path | None:
    """The folder of the newest Postgres that is installed, or None."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return versions[-1] if versions else Path(found).parent if found else None


class LocalPostgres:
    """Runs from when it is made until `close`. Postgres refuses to run as root: then it runs as the user `postgres`."""

    def __init__(self, bin_directory: Path):
        self._bin = bin_directory
        self._as_user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if self._as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "--pgdata", "data", "--username", "assay", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        place = ["-D", "data", "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log").open("wb") as log:
            command = [str(self._bin / "postgres"), *place, "-F", "-c", "max_connections=200"]  # -F: no fsync
            self._server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + 30
        while subprocess.run([self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            assert self._server.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def create_database(self, name: str) -> str:
        """A new database; its address without the scheme's driver: `postgresql` + this."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "assay", name)
        return f"://assay@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(5)  # until its clients are gone
        except subprocess.TimeoutExpired:
            self._server.send_signal(3)
            self._server.wait()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self._bin / program, *arguments], cwd=self.folder, capture_output=True, text=True, **self._as_user)
        assert done.returncode == 0, done.stderr
