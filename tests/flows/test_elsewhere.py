"""Stages that run on other machines: a study and two workers in folders of their own, which share Prefect's API, a git remote and an S3 remote."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.elsewhere import last_heartbeat
from tests.flows.program import COMMAND, assay, environment, processes_of
from tests.flows.small_study import SmallStudy
from tests.tasks.local_store import LocalStore

pytestmark = pytest.mark.slow
POOLS = ("cpu", "gpu")


@pytest.fixture
def settings(prefect_url: str) -> Iterator[dict[str, str]]:
    """Where Prefect and the object store are."""
    store = LocalStore()
    account = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=store.url, **account).create_bucket(Bucket="dvc")
    yield {"PREFECT_API_URL": prefect_url, **store.environment()}
    store.server.stop()


@pytest.fixture
def remote_study(study: SmallStudy, tmp_path_factory: pytest.TempPathFactory) -> SmallStudy:
    """The study in git, with remotes for git and for DVC."""
    bare = tmp_path_factory.mktemp("git") / "study.git"
    (study.folder / ".dvc/config").write_text("[core]\n    analytics = false\n    remote = s3\n['remote \"s3\"']\n    url = s3://dvc/files\n")
    (study.folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (study.folder / ".gitignore").write_text("/data/\n/.assay/\n/intervals.jsonl\n")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (
        [*git, "init", "--quiet", "--bare", str(bare)],
        [*git, "init", "--quiet"],
        [*git, "remote", "add", "origin", str(bare)],
        [*git, "add", "."],
        [*git, "commit", "--quiet", "-m", "The study"],
    ):
        subprocess.run(arguments, cwd=study.folder, check=True)
    return study


@pytest.fixture
def workers(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """One per pool, each in a folder of its own."""
    folders = {pool: tmp_path_factory.mktemp(f"{pool}-machine") for pool in POOLS}
    processes = [
        subprocess.Popen(
            [*COMMAND, "worker", "--pool", pool],
            cwd=folder,
            env=environment(**settings, ASSAY_MACHINE=f"{pool}-machine"),
            stdout=(folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        for pool, folder in folders.items()
    ]
    wait_for(lambda: all("started!" in (folder / "log").read_text() for folder in folders.values()))
    yield folders
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert not [command for folder in folders.values() for command in processes_of(folder)]


def stages_of(folder: Path) -> list[str]:
    """Which stages' commands ran on a worker's machine."""
    return sorted(line.split('"')[3] for path in folder.rglob("intervals.jsonl") for line in path.read_text().splitlines())


def test_stages_run_where_their_pool_is_and_dvc_has_nothing_left_to_do(remote_study: SmallStudy, settings: dict[str, str], workers: dict[str, Path]):
    study = remote_study
    study.write_stages({"left": 0.0, "right": 0.0}, each={"meta": {"pool": "gpu"}}, last={"meta": {"pool": "local"}})
    (study.folder / "in.txt").write_text("text that nobody committed")

    done = assay("run", "--pool", "cpu", **settings)
    assert done.returncode == 0, done.stderr
    assert stages_of(workers["gpu"]) == ["each@left", "each@right"]
    assert stages_of(workers["cpu"]) == ["all", "alone", "first"]
    assert study.ran() == ["last"]
    assert (study.folder / "data/each/left").read_text() == "each@left of first of text that nobody committed"
    assert "up to date" in study.dvc("status")
    study.dvc("repro")
    assert study.ran() == []
    assert subprocess.run(["git", "ls-remote", "origin"], capture_output=True, text=True).stdout == ""


def test_what_a_person_must_mend_is_told_and_not_tried_again(remote_study: SmallStudy, settings: dict[str, str], workers: dict[str, Path]):
    study = remote_study
    untracked = {"cmd": "python new.py; python work.py alone 0 data/alone", "deps": ["new.py"]}
    broken = {"cmd": "echo 'assay: in.txt is empty: fill it' >&2; exit 2"}
    (study.folder / "new.py").write_text("")
    study.write_stages({"left": 0.0, "right": 0.0}, alone=untracked, first=broken, last={"meta": {"pool": "tpu"}, "deps": ["work.py"]})
    done = assay("run", "--pool", "cpu", **settings)
    assert done.returncode == 2 and "Retry" not in done.stderr
    assert "in.txt is empty: fill it" in done.stderr
    assert "Stage alone cannot start" in done.stderr and "new.py" in done.stderr
    assert "pool 'tpu', which no worker serves: `assay worker --pool tpu`" in done.stderr
    assert stages_of(workers["cpu"]) == []


def test_a_study_that_ends_early_ends_its_stages_elsewhere(remote_study: SmallStudy, settings: dict[str, str], workers: dict[str, Path]):
    """At once, or when it was killed, with the next run."""
    study = remote_study
    study.write_stages({"left": 0.0, "right": 0.0}, alone={"cmd": "touch begun; setsid sleep 300 & sleep 300"})

    def sleeping() -> set[int]:
        found = set()
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() == "sleep" and Path(process.cwd()).is_relative_to(workers["cpu"]):
                    found.add(process.pid)
        return found

    before: set[int] = set()
    for ended_by in (signal.SIGKILL, signal.SIGINT):
        run = subprocess.Popen([*COMMAND, "run", "--pool", "cpu"], env=environment(**settings), stderr=subprocess.DEVNULL)
        wait_for(lambda before=before: len(sleeping()) == 2 and not sleeping() & before)
        before = sleeping()
        run.send_signal(ended_by)
        assert run.wait(timeout=90) != 0
    wait_for(lambda: not sleeping())


def test_a_stage_elsewhere_gives_signs_of_life(remote_study: SmallStudy, settings: dict[str, str], workers: dict[str, Path]):
    remote_study.write_stages({"left": 0.0, "right": 0.0}, alone={"cmd": "sleep 300"})
    run = subprocess.Popen([*COMMAND, "run", "--pool", "cpu"], env=environment(**settings), stderr=subprocess.DEVNULL)
    seen: set[str] = set()

    def two_were_seen() -> bool:
        for flow_run in client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=["alone"]))):
            seen.add(last_heartbeat(client, flow_run.id) or "")
        return len(seen - {""}) >= 2

    with temporary_settings({PREFECT_API_URL: settings["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        wait_for(two_were_seen)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=90) != 0


@pytest.mark.patient
def test_a_stage_whose_machine_is_lost_runs_on_another(remote_study: SmallStudy, settings: dict[str, str], workers: dict[str, Path]):
    """`first` sleeps for ever on the machine that takes it first, which then dies with all its processes."""
    study = remote_study
    slow = "mkdir -p data; case $PWD in *cpu-machine0*) touch begun; sleep 600;; esac; python work.py first 0 data/first in.txt"
    study.write_stages({"left": 0.0, "right": 0.0}, first={"cmd": slow}, alone={"meta": {"pool": "local"}})
    run = subprocess.Popen([*COMMAND, "run", "--pool", "cpu"], env=environment(**settings), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(workers["cpu"].rglob("begun")))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(workers["cpu"]):
                process.kill()
    another = subprocess.Popen(
        [*COMMAND, "worker", "--pool", "cpu"], cwd=workers["gpu"], env=environment(**settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        said = run.communicate(timeout=400)[1]
        assert run.returncode == 0, said
        assert "no sign of life" in said and "first" in stages_of(workers["gpu"])
    finally:
        another.send_signal(signal.SIGTERM)
        another.wait()


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
