"""Programs in the background: started on free ports only, health-checked with a deadline, ended with all their processes.

Each runs on a leash (`flows/leash.py`), which holds a lock on `.assay/services/<name>.lock` for as long as it lives: whether a service runs is a
question to the kernel, not to a file with a process id that may be somebody else's by now.
"""

import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from flows.commands import LEASH, with_our_python_first
from flows.environment import HOST
from models.frozen import Frozen, StudyError
from tasks.atomic import raise_if_full, read_json, write_json
from tasks.layout import LOCAL

SERVICES = LOCAL / "services"
START_SECONDS = 120.0  # Prefect creates its database on the first start, MLflow too
STOP_SECONDS = 40.0  # leash.GRACE_SECONDS and some
WATCH_SECONDS = 1.0


class Service(Frozen):
    """What to run. It is ready when `health`, a path on its port, answers; at once when it has no port."""

    name: str
    title: str
    command: tuple[str, ...]
    port: int | None = None
    port_variable: str | None = None  # the environment variable that moves it to another port
    health: str = "/"


class RunningService(Frozen):
    """A service that runs, as `.assay/services/<name>.json` tells others of it. `passing`: it ends with the `assay run` that started it."""

    name: str
    pid: int  # of its leash
    url: str | None
    passing: bool


def find(name: str) -> RunningService | None:
    """The service of this name when it runs, or None."""
    if not _lock_path(name).exists():
        return None
    descriptor = os.open(_lock_path(name), os.O_RDWR)
    try:
        if _lock(descriptor):
            return None
        return RunningService.model_validate(read_json(_record_path(name)))
    finally:
        os.close(descriptor)


def start(service: Service, passing: bool = False) -> RunningService:
    """Starts a service; a `passing` one lives for as long as somebody holds it (`kept_up`). It is not ready yet: `wait_until_ready`.

    Raises:
        StudyError: when its port is in use.
    """
    if service.port and not _is_free(service.port):
        raise StudyError(
            f"Port {service.port}, where {service.title} would listen, is in use: end what uses it, or set {service.port_variable} to another port."
        )
    SERVICES.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(_lock_path(service.name), os.O_RDWR | os.O_CREAT)
    try:
        if not _lock(descriptor):
            raise StudyError(f"{service.title} was started by somebody else at the same moment: run the command again.")
        with log_path(service.name).open("wb") as log, Path(_lifeline(service.name) if passing else os.devnull).open("rb") as stdin:
            process = subprocess.Popen(
                [*LEASH, *(["--lifeline"] if passing else []), *service.command],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=with_our_python_first(dict(os.environ)),
                start_new_session=True,
                pass_fds=[descriptor],
            )
        url = f"http://{HOST}:{service.port}" if service.port else None
        running = RunningService(name=service.name, pid=process.pid, url=url, passing=passing)
        try:
            write_json(_record_path(service.name), running.model_dump())
        except BaseException:  # nobody would find it to end it
            process.terminate()
            process.wait()
            raise
        if passing:
            _PASSING[service.name] = process
        return running
    finally:
        os.close(descriptor)


_PASSING: dict[str, subprocess.Popen[bytes]] = {}  # those that this process started


def wait_until_ready(service: Service, deadline_seconds: float = START_SECONDS) -> None:
    """Returns when the service answers.

    Raises:
        StudyError: when it ended, or does not answer in time.
    """
    deadline = time.monotonic() + deadline_seconds
    while not (service.port is None or answers(f"http://{HOST}:{service.port}{service.health}")):
        check_alive(service)
        if time.monotonic() > deadline:
            raise StudyError(f"{service.title} did not answer within {deadline_seconds:.0f} s: see {log_path(service.name)}.")
        time.sleep(0.1)


def check_alive(service: Service) -> None:
    """Raises a StudyError with the last words of a service that ended."""
    if find(service.name) is None:
        raise_if_full(SERVICES)
        words = log_path(service.name).read_text(errors="replace").strip().splitlines()
        raise StudyError(f"{service.title} ended while it started: '{words[-1].strip() if words else ''}' (all of it: {log_path(service.name)}).")


def stop(running: RunningService) -> None:
    """Ends a service with all its processes, and returns when they are gone."""
    try:
        os.kill(running.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + STOP_SECONDS
    while find(running.name) is not None:
        if time.monotonic() > deadline:
            raise StudyError(f"The service '{running.name}' (process {running.pid}) does not end: see {log_path(running.name)}.")
        time.sleep(0.05)
    if process := _PASSING.pop(running.name, None):
        process.wait()
    _record_path(running.name).unlink(missing_ok=True)


@contextmanager
def kept_up(service: Service, alone: FileLock) -> Iterator[None]:
    """A passing service that is ready, and is started again on the same port should it end before the block does. Several processes may keep up the
    same one; it ends with the last of them, even when they are killed. `alone`, which the caller holds, is how they come and go one at a time.

    Raises:
        StudyError: when it can't be started.
    """
    done = threading.Event()

    def start_again() -> None:
        while not done.wait(WATCH_SECONDS):
            if find(service.name) is None:
                with suppress(StudyError):  # its port is still in use, or another one was faster
                    start(service, passing=True)

    SERVICES.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.mkfifo(_lifeline(service.name))
    watch, hold = threading.Thread(target=start_again, daemon=True), os.open(_lifeline(service.name), os.O_RDWR)
    try:
        if find(service.name) is None:
            start(service, passing=True)
        wait_until_ready(service)
        watch.start()
        yield
    finally:
        done.set()
        if watch.ident:
            watch.join()
        with alone:
            os.close(hold)
            if not _is_held(service.name) and (running := find(service.name)):
                stop(running)


def _is_held(name: str) -> bool:
    """Whether somebody can write to the lifeline of a passing service: it is a pipe with a name, at whose end the leash ends what it holds."""
    reader = os.open(_lifeline(name), os.O_RDONLY | os.O_NONBLOCK)
    try:
        return bool(os.read(reader, 1))
    except BlockingIOError:
        return True
    finally:
        os.close(reader)


def answers(url: str) -> bool:
    """Whether a server says at `url` that it is well, or that it knows no such page."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, HTTPException):  # HTTPException: it went away while it answered
        return False


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError:
            return False
        return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def log_path(name: str) -> Path:
    return SERVICES / f"{name}.log"


def _lifeline(name: str) -> Path:
    return SERVICES / f"{name}.lifeline"


def _lock_path(name: str) -> Path:
    return SERVICES / f"{name}.lock"


def _record_path(name: str) -> Path:
    return SERVICES / f"{name}.json"
