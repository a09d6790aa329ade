"""Runs the commands of stages as processes: on a leash, their output streamed, all of them to be ended at once."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tasks.stage import SENTENCE

LEASH = [sys.executable, "-I", str(Path(__file__).with_name("leash.py"))]


class Cancelled(Exception):
    """The study was ended while a command ran, or before it could start."""


class Output:
    """What a command says: every line to its log file and to `on_line`; the last one and the sentence for people are kept."""

    def __init__(self, log: BinaryIO, on_line: Callable[[str], None]):
        self._log, self._on_line = log, on_line
        self.last_line: str | None = None
        self.sentence: str | None = None

    def write(self, raw: bytes) -> None:
        self._log.write(raw)
        self._log.flush()
        # of a progress bar, which draws itself over and over, the last state
        line = raw.decode(errors="replace").rstrip().rsplit("\r", 1)[-1].rstrip()
        if not line:
            return
        self.last_line = line
        if line.startswith(SENTENCE):
            self.sentence = line.removeprefix(SENTENCE)
        self._on_line(line)


class Commands:
    """The commands that run at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.ended = threading.Event()

    def run(self, command: list[str], directory: str, environment: dict[str, str], output: Output) -> int:
        """Runs one command to its end and returns its exit code. When it returns, none of its processes is left.

        Raises:
            Cancelled: when `end_all` was called.
        """
        with self._lock:
            if self.ended.is_set():
                raise Cancelled
            process = subprocess.Popen(
                [*LEASH, "--lifeline", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            assert process.stdout
            for raw in process.stdout:
                output.write(raw)
            code = process.wait()
        finally:
            process.stdin.close()  # type: ignore[union-attr]  # ends it, should we leave early
            process.wait()
            self._running.discard(process)
        if self.ended.is_set():
            raise Cancelled
        return code

    def end_all(self) -> None:
        """Ends all processes of all commands, and lets none begin. Returns at once; `run` raises when they are gone."""
        with self._lock:
            self.ended.set()
            for process in list(self._running):
                process.terminate()


def with_our_python_first(environment: dict[str, str]) -> dict[str, str]:
    """`python` in a command is the one that runs this, also when its environment was not activated."""
    return {**environment, "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])}
