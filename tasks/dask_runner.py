"""Shards on a Dask cluster: one that an address names, or workers of this machine for as long as a stage takes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tasks.cluster_work import OnWorker
from tasks.runners import RunAll, library
from tasks.stage import TemporaryError

CONNECT_SECONDS = 30


@contextmanager
def dask_workers(address: str | None, num_workers: int) -> Iterator[RunAll]:
    """Args:
    address: of a scheduler, such as tcp://head:8786.
    num_workers: processes to start where there is no address.
    """
    distributed = library("dask", "distributed")
    with ExitStack() as stack:
        if address is None:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=num_workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,  # else it kills what it finds too large
                    dashboard_address=None,
                    env={"POLARS_MAX_THREADS": "1"},
                )
            )
            address = cluster.scheduler_address
        try:
            client = stack.enter_context(distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:
            raise TemporaryError(f"No Dask scheduler answers at '{address}' (hardware.cluster): {error}.") from error

        def run_all(function: Any, constant: Any, *sequences: Any) -> Iterator[Any]:
            futures = client.map(OnWorker(function, constant), *sequences, pure=False)
            try:
                for future in futures:
                    yield future.result()
            except (distributed.KilledWorker, distributed.CancelledError, distributed.CommClosedError) as error:
                raise TemporaryError(f"The Dask cluster at '{address}' lost its workers or its scheduler: {error}.") from error
            finally:
                client.cancel(futures)

        yield run_all
