"""A real Postgres on the loopback interface, from the system's packages (Debian: postgresql), which asks for a password."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

PASSWORD = "of-the-superuser"
START_SECONDS = 60


@contextmanager
def running_postgres() -> Iterator[str]:
    """A new Postgres, gone with its data after the block; yields the url of its superuser, `postgresql://postgres:PASSWORD@127.0.0.1:PORT`.

    Postgres refuses to run as root: then it runs as the user `postgres`, in a folder outside of pytest's, which is root's alone.
    """
    programs = newest_programs()
    as_user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        password_file = Path(folder) / "password"
        password_file.write_text(PASSWORD)
        if as_user:
            shutil.chown(folder, "postgres")
            shutil.chown(password_file, "postgres")
        options = ["--pgdata=data", "--username=postgres", "--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--no-sync"]
        subprocess.run([programs / "initdb", *options], cwd=folder, check=True, capture_output=True, **as_user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        place = ["-D", "data", "-k", folder, "-h", "127.0.0.1", "-p", str(port), "-c", "max_connections=200", "-F"]  # -F: no fsync
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen([programs / "postgres", *place], cwd=folder, stdout=log, stderr=log, **as_user)
        try:
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run([programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]).returncode:
                assert server.poll() is None and time.monotonic() < deadline, (Path(folder) / "log").read_text()
                time.sleep(0.05)
            yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # ends it at once, whoever is connected
            server.wait()


def newest_programs() -> Path:
    """The folder with initdb and postgres."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    found = installed[-1] if installed else shutil.which("initdb")
    if not found:
        pytest.skip("there is no Postgres on this machine, which this test starts: apt-get install postgresql")
    return Path(found).parent


def create_database(url: str, name: str) -> str:
    """A new database, of the server at `url`; its own url."""
    with psycopg.connect(f"{url}/postgres", autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url}/{name}"
