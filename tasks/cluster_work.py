"""Work as the workers of a cluster do it."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.frozen import StudyError

ROOT = Path(__file__).parents[1]
_ONE_AT_A_TIME = threading.Lock()  # in a worker of several threads: the folder is the process'


def code_digest() -> str:
    """Of all code that decides what a worker does."""
    files = sorted(path for package in ("models", "tasks") for path in (ROOT / package).rglob("*.py"))
    return blake2b(b"\0".join(path.read_bytes() for path in files), digest_size=16).hexdigest()


_CODE = code_digest()  # as it was imported: a worker that was started long ago has not what the files say now


@dataclass(frozen=True)
class OnWorker:
    """A function as a worker of a cluster calls it: in the driver's folder, and only with the driver's code."""

    function: Callable[..., Any]
    constant: Any
    folder: str = field(default_factory=os.getcwd)
    code: str = field(default=_CODE)

    def __call__(self, *items: Any) -> Any:
        if self.code != _CODE:
            raise StudyError("A worker of the cluster has other code than this study: start its workers anew from this checkout.")
        with _ONE_AT_A_TIME:
            try:
                os.chdir(self.folder)
            except FileNotFoundError:
                raise StudyError(
                    f"A worker of the cluster has no folder {self.folder}: workers need the study's files under the same path."
                ) from None
            pa.set_cpu_count(1)  # the cores are taken by the other workers
            return self.function(self.constant, *items)
