"""infra/compose.yaml without containers: its services as processes of this machine, with the commands and the environment that compose gives them.

Where this machine lets us (root, on Linux), all but /tmp and their own folder is read-only to them, as it is in a container with `read_only`.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.infra.compose_file import INFRA, PROJECT, TOOLS, compose, image_environment, new_secrets
from tests.infra.machine import can_seal, free_port, sealed, status
from tests.postgres import PASSWORD, running_postgres

START_SECONDS = 120
STOP_SECONDS = 60  # the longest `stop_grace_period` of compose.yaml
PORTS = {"postgres": 5432, "s3": 8333, "prefect": 4200, "mlflow": 5000}


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
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()

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
