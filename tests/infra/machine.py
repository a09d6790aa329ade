"""This machine in the place of containers: ports, a read-only file system, and how a server answers."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from functools import cache
from pathlib import Path

SEAL = """
for writable in "$0" /tmp; do mount --bind "$writable" "$writable"; done
mount --bind "$1" "$1"
for sealed in / "$1"; do mount --options remount,bind,ro "$sealed"; done
shift
exec "$@"
"""


def sealed(folder: Path) -> list[str]:
    """What to put before a command that may write to `folder` and /tmp only, and to our packages not even there."""
    return ["unshare", "--mount", "sh", "-euc", SEAL, str(folder), sys.prefix]


@cache
def can_seal() -> bool:
    return subprocess.run([*sealed(Path("/tmp")), "true"], capture_output=True).returncode == 0


def status(url: str, login: str | None = None, host: str | None = None) -> int | None:
    """The status with which a server answers a GET, or None."""
    headers = {"Host": host} if host else {}
    if login:
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


_given: set[int] = set()


def free_port() -> int:
    """Given to nobody before; nor is the one 10,000 further up, where SeaweedFS listens to its own kind."""
    while True:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            if port > 55_000 or {port, port + 10_000} & _given:
                continue
            try:
                high.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            _given.update((port, port + 10_000))
            return port
