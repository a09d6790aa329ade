"""Slots: Prefect's global concurrency limits `cpu@MACHINE`, `gpu@MACHINE` and `memory_gb@MACHINE`, shared by all studies on one Prefect server.

They are made from what the machine has; a limit that exists is somebody's decision, and stays. Slots are leased for a minute and renewed: those of
a machine that was lost are free again after it, and those of a run that was killed when the next one starts in its folder.

A stage that holds GPUs holds certain ones, each by a limit `gpu-0@MACHINE` of its own, and sees no others. Only where somebody lets more stages have
a GPU than there are GPUs, all stages see all.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import Self
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.graph import Needs
from tasks.layout import LOCAL

LEASES = LOCAL / "leases"  # an empty file per lease, named by its id: to be given back by the next run when this one is killed
LEASE_SECONDS = 60.0  # the shortest that Prefect grants
RENEW_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Slots:
    """What the running stages of one process hold. Used by one thread, besides the one that renews."""

    def __init__(self, machine: str | None = None, has: dict[str, int] | None = None):
        self._machine = machine or os.environ.get("ASSAY_MACHINE") or socket.gethostname()
        self._has = has or resources()
        self._gpus = gpus() if has is None else [str(index) for index in range(has["gpu"])]
        self._held: dict[str, list[UUID]] = {}
        self._gpus_of: dict[str, list[str]] = {}
        self._left = threading.Event()

    def __enter__(self) -> Self:
        LEASES.mkdir(parents=True, exist_ok=True)
        with get_client(sync_client=True) as client:
            for path in LEASES.iterdir():
                give_back(client, UUID(path.name))
            for resource, amount in (self._has | {f"gpu-{gpu}": 1 for gpu in self._gpus}).items():
                try:
                    client.read_global_concurrency_limit_by_name(self._limit(resource))
                except ObjectNotFound:
                    with suppress(ObjectAlreadyExists):  # another run made it at the same moment
                        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=self._limit(resource), limit=amount))
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for holder in list(self._held):
            self.release(holder)

    def take(self, holder: str, needs: Needs) -> bool:
        """All that a stage needs, or nothing of it. A server that does not answer has none to give at the moment."""
        self._held[holder], self._gpus_of[holder] = [], []
        try:
            with impatient_client() as client:
                wanted = {"memory_gb": needs.memory_gb, "cpu": needs.cores}
                if self._lease_gpus(client, holder, needs.gpus) and all(
                    self._lease(client, holder, resource, amount) is not None for resource, amount in wanted.items()
                ):
                    return True
        except httpx.HTTPError as error:
            logger.warning("Prefect gave no slots for stage %s (%s); asking again.", holder, error)
        self.release(holder)
        return False

    def environment(self, holder: str) -> dict[str, str]:
        """What a stage's commands are told of the GPUs that it holds; nothing when it holds none."""
        mine = self._gpus_of.get(holder)
        return {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}

    def release(self, holder: str) -> None:
        leases = self._held.pop(holder, [])
        self._gpus_of.pop(holder, None)
        try:
            with impatient_client() as client:
                for lease in leases:
                    give_back(client, lease)
        except httpx.HTTPError as error:
            logger.warning("Prefect did not take the slots of stage %s back (%s); they are free when their lease ends.", holder, error)

    def _lease_gpus(self, client: SyncPrefectClient, holder: str, wanted: int | str) -> bool:
        number = self._lease(client, holder, "gpu", wanted)
        if number and client.read_global_concurrency_limit_by_name(self._limit("gpu")).limit <= len(self._gpus):
            free = (gpu for gpu in self._gpus if self._lease(client, holder, f"gpu-{gpu}", 1))
            self._gpus_of[holder] += islice(free, number)
            return len(self._gpus_of[holder]) == number
        return number is not None

    def _lease(self, client: SyncPrefectClient, holder: str, resource: str, wanted: int | str) -> int | None:
        """As many slots as are wanted, but not more than there are; None when others hold them."""
        if wanted == 0:
            return 0
        limit = client.read_global_concurrency_limit_by_name(self._limit(resource))
        slots = limit.limit if isinstance(wanted, str) else min(wanted, limit.limit)
        if slots == 0:
            return 0
        try:
            answer = client.increment_concurrency_slots_with_lease([limit.name], slots, "concurrency", LEASE_SECONDS)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return None
            raise
        lease = UUID(answer.json()["lease_id"])
        (LEASES / str(lease)).touch()
        self._held[holder].append(lease)
        return slots

    def _renew(self) -> None:
        while not self._left.wait(RENEW_SECONDS):
            for lease in [lease for leases in list(self._held.values()) for lease in leases]:
                try:
                    with impatient_client() as client:
                        client.renew_concurrency_lease(lease, LEASE_SECONDS)
                except httpx.HTTPError as error:
                    logger.warning("Prefect did not renew a slot (%s); the stage goes on.", error)

    def _limit(self, resource: str) -> str:
        return f"{resource}@{self._machine}"


def resources() -> dict[str, int]:
    """What this machine has."""
    return {
        "cpu": os.cpu_count() or 1,
        "gpu": len(gpus()),
        "memory_gb": psutil.virtual_memory().total // 2**30,
    }


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES lets this process use, up to the first that is none (`-1`); without it, all of this machine."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return list(takewhile(lambda gpu: gpu and not gpu.startswith("-"), map(str.strip, visible.split(","))))
    return [str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


@contextmanager
def impatient_client() -> Iterator[SyncPrefectClient]:
    """Tries nothing twice: its users ask again anyway."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
        yield client


def give_back(client: SyncPrefectClient, lease: UUID) -> None:
    client.release_concurrency_slots_with_lease(lease)
    (LEASES / str(lease)).unlink(missing_ok=True)
