"""Curation on clusters: workers are processes of their own, one of which is killed on the way."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.cluster_work import OnWorker
from tasks.curate import CURATION, curate
from tasks.documents import DOCUMENT_SCHEMA, write_shards
from tasks.stage import TemporaryError
from tasks.study import Study
from tests.tasks.test_curate import corpus, digest, study  # noqa: F401


@contextmanager
def dask_cluster() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """The address of one with two workers, and a function that gives these."""
    distributed = import_module("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address, lambda: [nanny.pid for nanny in cluster.workers.values()]


@contextmanager
def ray_cluster() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """The same of Ray, as processes that `ray start` leaves."""
    folder = f"/tmp/ray-{os.getpid()}"  # names of sockets are short
    start = f"-m ray.scripts.scripts start --head --num-cpus=2 --port=0 --include-dashboard=false --temp-dir={folder} --disable-usage-stats --block"
    head = subprocess.Popen([sys.executable, *start.split()], stdout=subprocess.PIPE, text=True, env=os.environ | {"RAY_AUTH_MODE": "disabled"})
    try:
        assert head.stdout
        address = next(found[1] for line in head.stdout if (found := re.search(r"--address='([\d.:]+)'", line)))
        of_ray = partial(psutil.Process(head.pid).children, recursive=True)
        yield (
            address,
            lambda: [process.pid for process in of_ray() if process.name().startswith(("ray::_on_work", "ray::IDLE"))],
        )  # others are its own
    finally:
        for process in [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


CLUSTERS = {"dask": dask_cluster, "ray": ray_cluster}
MODULES = {"dask": "distributed", "ray": "ray"}  # of the environment that CI builds; who has one without them tests the rest


class Killer(threading.Thread):
    """Kills a worker as soon as some shards are done, and notes which were and when."""

    def __init__(self, workers: Callable[[], list[int]]):
        super().__init__(daemon=True)
        self.workers, self.killed, self.done_then, self.done_last = workers, False, {}, {}
        self.start()

    def run(self) -> None:
        while not (done := finished()):
            time.sleep(0.005)
        self.done_then = done
        os.kill(self.workers()[0], signal.SIGKILL)
        self.killed = True
        while done := finished():  # until all is done, and removed
            self.done_last |= done
            time.sleep(0.005)


def finished() -> dict[Path, int]:
    try:
        return {path: path.stat().st_mtime_ns for path in CURATION.glob("all/*/result-*.pickle")}
    except FileNotFoundError:
        return {}


def on(study: Study, runner: str, cluster: str | None) -> Study:  # noqa: F811
    return study.model_copy(update={"hardware": study.hardware.model_copy(update={"runner": runner, "cluster": cluster, "workers": 2})})


@pytest.mark.slow
@pytest.mark.parametrize("runner", CLUSTERS)
def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(runner: str, study: Study):  # noqa: F811
    pytest.importorskip(MODULES[runner])
    write_shards(layout.kept(layout.POOL), [corpus()], DOCUMENT_SCHEMA, shard_bytes=1500)
    curate(study, "all")
    expected = digest("all")
    with CLUSTERS[runner]() as (address, workers):
        killer = Killer(workers)
        curate(on(study, runner, address), "all")
        killer.join(10)
    assert digest("all") == expected
    assert killer.killed and 0 < len(killer.done_then) < len(killer.done_last)
    assert killer.done_then.items() <= killer.done_last.items()


@pytest.mark.slow
@pytest.mark.parametrize("runner", CLUSTERS)
def test_without_an_address_workers_are_started_here(runner: str, study: Study):  # noqa: F811
    pytest.importorskip(MODULES[runner])
    curate(study, "all")
    expected = digest("all")
    curate(on(study, runner, None), "all")
    assert digest("all") == expected


def test_a_cluster_that_does_not_answer_may_answer_later(study: Study, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    pytest.importorskip(MODULES["dask"])
    monkeypatch.setattr("tasks.dask_runner.CONNECT_SECONDS", 0.5)
    with pytest.raises(TemporaryError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"):
        curate(on(study, "dask", "tcp://127.0.0.1:1"), "all")


def test_a_worker_with_other_code_or_other_files_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert OnWorker(os.path.join, "a")("b") == "a/b"
    with pytest.raises(StudyError, match="other code than this study"):
        OnWorker(os.path.join, "a", code="other")("b")
    with pytest.raises(StudyError, match="has no folder /nowhere"):
        OnWorker(os.path.join, "a", folder="/nowhere")("b")
