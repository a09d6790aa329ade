"""What an object store and the way to it do wrong, through a real proxy: healed, or one sentence; never a part of a file under a final name."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import moto.settings
import pytest

from models.frozen import StudyError
from tasks import storage
from tasks.stage import TemporaryError
from tests.conftest import PROJECT
from tests.faults.fault_proxy import Fault, FaultProxy

CONTENT = os.urandom(700_000)
ALWAYS = range(1000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "READ_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(storage, "FIRST_PAUSE_SECONDS", 0)


@pytest.mark.parametrize(
    ("fault", "method"), [("503", "HEAD"), ("503", "GET"), ("silence", "HEAD"), ("silence", "GET"), ("stall", "GET"), ("cut", "GET")]
)
def test_a_download_gets_over_a_fault(proxy: FaultProxy, store, tmp_path: Path, fault: Fault, method: str):
    store.put("s3://pool/x", CONTENT)
    with proxy.failing(fault, method, range(1)):
        storage.download("s3://pool/x", tmp_path / "x")
    assert proxy.num_faults == 1
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(("fault", "words"), [("503", r"can't serve s3://pool/x \(503"), ("silence", "s3://pool/x .*check the network")])
def test_a_fault_that_stays_is_a_sentence_and_worth_another_try(proxy, store, tmp_path, monkeypatch, fault: Fault, words: str):
    monkeypatch.setattr(storage, "REQUEST_ATTEMPTS", 2)
    monkeypatch.setattr(storage, "RESUMES", 2)
    store.put("s3://pool/x", CONTENT)
    (tmp_path / "x").write_bytes(b"old")
    for method in ("HEAD", "GET"):
        with proxy.failing(fault, method, ALWAYS), pytest.raises(TemporaryError, match=words):
            storage.download("s3://pool/x", tmp_path / "x")
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_what_is_not_there_or_not_allowed_is_not_tried_again(proxy, tmp_path):
    with pytest.raises(StudyError) as missing:
        storage.download("s3://pool/x", tmp_path / "x")
    assert not isinstance(missing.value, TemporaryError) and proxy.num_requests == {"HEAD": 1}


class DvcRepository:
    """A folder of two files under DVC, whose remote is the store behind the proxy."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self.run("init", "--no-scm")
        monkeypatch.chdir(folder)
        storage.configure_dvc_remote("s3://pool/dvc")
        self.run("remote", "modify", "--local", storage.DVC_REMOTE, "read_timeout", "1")  # 15 when absent
        (folder / "data").mkdir()
        (folder / "data/large").write_bytes(CONTENT)
        (folder / "data/small").write_bytes(b"small")
        self.run("add", "data")

    def run(self, *arguments: str, fails: bool = False) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr

    def forget(self) -> None:
        subprocess.run(["rm", "-rf", "data", ".dvc/cache"], cwd=self.folder, check=True)

    def assert_every_cached_file_is_whole(self) -> None:
        for path in (self.folder / ".dvc/cache/files/md5").rglob("*"):
            if path.is_file():
                assert path.parent.name + path.name.removesuffix(".dir") == hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def repository(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DvcRepository:
    return DvcRepository(tmp_path, monkeypatch)


@pytest.mark.slow
def test_dvc_push_and_pull_get_over_faults(repository: DvcRepository, proxy: FaultProxy, store):
    for fault in ("503", "silence", "cut"):
        store.empty()
        storage.ensure_bucket("s3://pool")
        with proxy.failing(fault, "PUT", range(1)):
            repository.run("push")
        assert proxy.num_faults == 1
        repository.forget()
        with proxy.failing(fault, "GET", range(1)):
            repository.run("pull")
        assert proxy.num_faults == 1
        assert (repository.folder / "data/large").read_bytes() == CONTENT
        repository.assert_every_cached_file_is_whole()


@pytest.mark.slow
def test_dvc_says_what_a_store_does_not_give_and_leaves_no_part_of_a_file(repository: DvcRepository, proxy: FaultProxy, store, monkeypatch):
    repository.run("push")
    repository.forget()
    with proxy.failing("cut", "GET", ALWAYS):
        assert "payload is not completed" in repository.run("pull", fails=True)
    repository.assert_every_cached_file_is_whole()
    assert not (repository.folder / "data/large").exists()

    large = hashlib.md5(CONTENT).hexdigest()
    storage._client().delete_object(Bucket="pool", Key=f"dvc/files/md5/{large[:2]}/{large[2:]}")
    assert "failed to transfer" in (said := repository.run("pull", fails=True)) and "key does not exist" in said
    assert not (repository.folder / "data/large").exists()

    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    assert "failed to connect to s3" in (said := repository.run("pull", fails=True)) and "Forbidden" in said
    repository.assert_every_cached_file_is_whole()
