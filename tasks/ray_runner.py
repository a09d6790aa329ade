"""Shards on a Ray cluster: one that an address names, or workers of this machine for as long as a stage takes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.cluster_work import ROOT, OnWorker
from tasks.runners import RunAll, library
from tasks.stage import TemporaryError


@contextmanager
def ray_workers(address: str | None, num_workers: int) -> Iterator[RunAll]:
    """Args:
    address: of a cluster's head, such as head:6379, or `auto` for the one that this machine belongs to.
    num_workers: processes to start where there is no address.
    """
    ray = library("ray", "ray")
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(ROOT)}}
    own = {"num_cpus": num_workers, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError) as error:
        raise TemporaryError(f"No Ray cluster answers at '{address}' (hardware.cluster): {error}.") from error

    def run_all(function: Any, constant: Any, *sequences: Any) -> Iterator[Any]:
        work = ray.put(OnWorker(function, constant))
        waiting = [_call.remote(work, *items) for items in zip(*sequences, strict=True)]
        try:
            for reference in waiting:
                yield ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # what was raised on the worker
        except ray.exceptions.RayError as error:
            raise TemporaryError(f"The Ray cluster lost its workers: {error}.") from error

    _call = ray.remote(max_retries=3)(_on_worker)
    try:
        yield run_all
    finally:
        ray.shutdown()  # with all tasks of this driver that are still waiting


def _on_worker(work: OnWorker, *items: Any) -> Any:
    return work(*items)
