"""infra/compose.yaml without containers: its services as processes of this machine, with the commands and the environment that compose gives them.

Where this machine lets us (root, on Linux), all but /tmp and their own folder is read-only to them, as it is in a container with `read_only`.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from infra.new_env import EXAMPLE, filled
from tests.postgres import PASSWORD, running_postgres

PROJECT = Path(__file__).parents[2]
INFRA = PROJECT / "infra"
TOOLS = Path(sys.executable).parent  # docker-compose and weed come with the environment
START_SECONDS = 120
PORTS = {"postgres": 5432, "s3": 8333, "prefect": 4200, "mlflow": 5000}
SEAL = """
for writable in "$0" /tmp; do mount --bind "$writable" "$writable"; done
mount --bind "$1" "$1"
for sealed in / "$1"; do mount --options remount,bind,ro "$sealed"; done
shift
exec "$@"
"""


def new_secrets() -> dict[str, str]:
    """What `infra/new_env.py` writes."""
    lines = [filled(line) for line in EXAMPLE.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The compose file as docker-compose reads it: checked against its schema, every variable filled in.

    Raises:
        CalledProcessError: with docker-compose's words on standard error.
    """
    command = [TOOLS / "docker-compose", "--env-file", os.devnull, "--file", INFRA / "compose.yaml", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, env={"PATH": os.defpath, **environment}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def image_environment() -> dict[str, str]:
    """What ENV in the Dockerfile sets."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (INFRA / "Dockerfile").read_text(), flags=re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))


class Deployment:
    """Services by name, each at `address(name)`, with `secrets`; their study is in `study`, their logs and data beside it in `folder`."""

    def __init__(self, folder: Path, study: Path):
        self.folder, self.study, self.secrets = folder, study, new_secrets()
        self.services = compose(self.secrets | {"ASSAY_STUDY": str(study)})["services"]
        self.ports = {name: free_port() for name in PORTS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def user_environment(self) -> dict[str, str]:
        """What a person of this machine has in the shell: the file of `infra/new_env.py`, and where the services are."""
        return {name: self._here(value) for name, value in self.secrets.items()}

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """Services, in this order and each when the last one is healthy; `postgres` is Debian's, set up as compose's image sets up its own."""
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(self._postgres() if name == "postgres" else self._process(name))
            yield

    def run(self, name: str) -> None:
        """A service that does its work and ends."""
        subprocess.run(self._command(name), env=self._environment(name), cwd=self._directory(name), check=True)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    @contextmanager
    def _postgres(self) -> Iterator[None]:
        with running_postgres() as url:
            self.ports["postgres"] = int(url.rpartition(":")[2])
            settings = {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["postgres"]), "PGPASSWORD": PASSWORD}
            wanted = self.services["postgres"]["environment"]
            subprocess.run(["sh", INFRA / "config/postgres_init.sh"], env={"PATH": os.environ["PATH"], **wanted, **settings}, check=True)
            yield

    @contextmanager
    def _process(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(self._command(name), env=self._environment(name), cwd=self._directory(name), stdout=log, stderr=log)
        self._processes[name] = process
        try:
            self._wait_until_healthy(name)
            yield
        finally:
            process.terminate()
            process.wait()

    def _wait_until_healthy(self, name: str) -> None:
        """By the url that its health check asks."""
        if not (check := self.services[name].get("healthcheck")):
            return
        deadline = time.monotonic() + START_SECONDS
        while status(self._here(check["test"][-1])) != 200:
            self.check_alive(name)
            assert time.monotonic() < deadline, self.log(name)
            time.sleep(0.1)

    def check_alive(self, name: str) -> None:
        assert self._processes[name].poll() is None, self.log(name)

    def _command(self, name: str) -> list[str]:
        seal = sealed(self.folder) if self.services[name]["read_only"] and can_seal() else []
        command = [self._here(word, name) for word in self.services[name]["command"]]
        if name == "s3":  # what the image's entrypoint adds, and free ports for what compose keeps inside of the container
            return [*seal, "weed", "-logtostderr=true", *command, *(f"-{part}.port={free_port()}" for part in ("master", "volume", "filer"))]
        return [*seal, *(str(PROJECT / word) if word == "infra/worker.py" else word for word in command)]

    def _environment(self, name: str) -> dict[str, str]:
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        of_image = {key: value.replace("/tmp", str(scratch)) for key, value in image_environment().items()}
        of_compose = self.services[name].get("environment", {}).items()
        here = {key: "127.0.0.1" if key.endswith("HOST") else self._here(value, name) for key, value in of_compose}
        return {**of_image, "PATH": f"{TOOLS}:{os.environ['PATH']}", "TMPDIR": str(scratch), "PYTHONPATH": str(PROJECT), **here}

    def _here(self, text: str, name: str = "") -> str:
        """A word of the compose file as it holds on this machine: hosts and ports, folders of the container."""
        for service, port in PORTS.items():
            text = re.sub(rf"\b{port}\b", str(self.ports[service]), text)
            text = text.replace(f"{service}:{self.ports[service]}", self.address(service))
        for volume in self.services.get(name, {}).get("volumes", ()):
            named = volume["type"] == "volume"
            source = self.folder / volume["source"] if named else Path(volume["source"])
            if named:
                source.mkdir(exist_ok=True)
            text = text.replace(volume["target"], str(source))
        return text.replace("0.0.0.0", "127.0.0.1")

    def _directory(self, name: str) -> Path:
        """Where it works: the image's /study, which is empty when no study is mounted there."""
        mounted = [Path(volume["source"]) for volume in self.services[name].get("volumes", ()) if volume["target"] == "/study"]
        (self.folder / "empty").mkdir(exist_ok=True)
        return mounted[0] if mounted else self.folder / "empty"


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
