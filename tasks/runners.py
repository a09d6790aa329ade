"""Where shards are worked on: in processes of this machine, or by the workers of a Dask or Ray cluster, who see the same files under the same paths.

What is done to a shard is left in files (`tasks/steps/pipeline.py`); a worker that is lost takes only the shards with it that it had in hand, and the
cluster gives these to another one.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from models.frozen import StudyError
from models.hardware import Hardware
from tasks.processes import processes

RunAll = Callable[..., Iterator[Any]]
CLUSTER = "ASSAY_CLUSTER"  # the address of a cluster that `assay run` started for the stages of a study
ROOT = Path(__file__).parents[1]
_ONE_AT_A_TIME = threading.Lock()  # in a worker of several threads: the folder is the process'


def shard_runner(hardware: Hardware, num_shards: int) -> AbstractContextManager[RunAll]:
    """Gives `run_all(function, constant, *sequences)`, which calls `function(constant, *items)` for all items of the sequences, and yields the
    results in their order, as they come.

    Raises:
        StudyError: when the runner is not installed, or its workers have other code or see other files.
        TemporaryError: when the cluster does not answer, or loses its workers again and again.
    """
    match hardware.runner:
        case "local":
            return processes(hardware.workers, num_shards)
        case "dask":
            from tasks.dask_runner import dask_workers as cluster_workers
        case "ray":
            from tasks.ray_runner import ray_workers as cluster_workers
    num_workers = max(1, min(hardware.workers or os.cpu_count() or 1, num_shards))
    return cluster_workers(os.environ.get(CLUSTER) or hardware.cluster, num_workers)


def library(runner: str, module: str) -> ModuleType:
    """Raises a StudyError when it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        raise StudyError(f"hardware.runner is '{runner}', which is not installed: install 'assay[{runner}]', or set it to 'local'.") from None


@cache
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
