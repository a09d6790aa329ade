"""Work on shards in several processes of this machine."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pyarrow as pa


@contextmanager
def processes(workers: int | None, num_shards: int) -> Iterator[Callable[..., Iterator]]:
    """Gives `run_all(function, constant, *sequences)`, which calls `function(constant, *items)` for all items of the sequences in as many
    processes as there is work for (`workers` at most; all cores when None), and yields the results in order, as they come. One process is this one,
    which works when it is asked for the next result."""
    workers = min(workers or os.cpu_count() or 1, num_shards)
    if workers <= 1:
        yield lambda function, constant, *sequences: map(function, repeat(constant), *sequences)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of Arrow's and Polars' threads as they are
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin_work) as pool:
        yield lambda function, constant, *sequences: pool.map(function, repeat(constant), *sequences)


def _begin_work() -> None:
    """In a worker: the cores are taken by the other workers; and who killed the process that has work for it, killed it too."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when Polars is imported
    pa.set_cpu_count(1)


def end_with_standard_input() -> None:
    """Ends this process when its standard input does: when whoever started it, and holds the other end of the pipe, is gone."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def has_gpus() -> bool:
    """Whether there is a device that PyTorch may train on, without importing it."""
    return any(next(Path("/dev").glob(device), None) for device in ("nvidia*", "kfd", "dxg"))
