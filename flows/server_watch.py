"""Prefect's server while a study runs. One that is restarted is waited for; one that is gone for good ends the study, in words."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Self

from flows.services import answers
from models.frozen import StudyError
from tasks.stage import MAY_HEAL, SENTENCE

LOST_SECONDS = 120.0  # without an answer; the server of one `assay run` is started again within seconds
ASK_SECONDS = 5.0


class ServerLost(StudyError):
    """Prefect's server is taken for gone."""


class ServerWatch:
    """Asks the server from a thread of its own, for as long as the block lasts. Without a url, Prefect has one inside this process."""

    def __init__(self, url: str | None, asked: Callable[[str], bool] = answers, clock: Callable[[], float] = time.monotonic):
        self._url, self._asked, self._clock = url, asked, clock
        self._silent: tuple[float, float] | None = None  # the first and the last of the questions in a row that had no answer
        self._done = threading.Event()

    def __enter__(self) -> Self:
        if self._url:
            threading.Thread(target=self._ask_on, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _ask_on(self) -> None:
        while not self._done.wait(ASK_SECONDS):
            self.ask()

    def ask(self) -> None:
        now = self._clock()
        if self._asked(f"{self._url}/health"):
            self._silent = None
        else:
            self._silent = (self._silent[0] if self._silent else now, now)

    def check(self) -> None:
        """Raises:
        ServerLost: when it has not answered for `LOST_SECONDS`.
        """
        if self._silent and self._silent[1] - self._silent[0] > LOST_SECONDS:  # not by the time of now: this process may have been stopped (Ctrl-Z)
            raise ServerLost(
                f"Prefect's server at {self._url} has not answered for {LOST_SECONDS:.0f} s, so the study was ended; what was finished is kept. "
                "Start the server again (`assay down`, `assay up`) and run the same command: it goes on from there."
            )


def leave(lost: ServerLost) -> NoReturn:
    """Ends this process at once: Prefect would try for minutes to tell its server how the study ended. Locks are the kernel's, all services and
    commands hang on pipes of this process, and the next run in the folder closes the flow run and gives slots back, as after any kill."""
    print(f"{SENTENCE}{lost}", file=sys.stderr, flush=True)
    os._exit(MAY_HEAL)
