"""Where shards are worked on: in processes of this machine, or by the workers of a Dask or Ray cluster, who see the same files under the same paths.

What is done to a shard is left in files (`tasks/steps/pipeline.py`); a worker that is lost takes only the shards with it that it had in hand, and the
cluster gives these to another one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import Any

from models.frozen import StudyError
from models.hardware import Hardware
from tasks.processes import processes

RunAll = Callable[..., Iterator[Any]]


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
    return cluster_workers(hardware.cluster, num_workers)


def library(runner: str, module: str) -> ModuleType:
    """Raises a StudyError when it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        raise StudyError(f"hardware.runner is '{runner}', which is not installed: install 'assay[{runner}]', or set it to 'local'.") from None
