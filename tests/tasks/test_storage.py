import os
import subprocess
import sys

import moto.settings
import pytest

from models.frozen import StudyError
from tasks import storage
from tests.conftest import PROJECT
from tests.tasks.local_store import HangingUpProxy

CONTENT = os.urandom(700_000)


@pytest.fixture
def hanging_up(store, change_setting, monkeypatch):
    """Makes the store reachable only through a proxy that hangs up after so many bytes of a body."""
    proxies = []

    def through(body_bytes: int) -> HangingUpProxy:
        proxies.append(HangingUpProxy(store.url, body_bytes))
        change_setting("AWS_ENDPOINT_URL", proxies[-1].url)
        monkeypatch.setattr(storage, "FIRST_PAUSE_SECONDS", 0)
        return proxies[-1]

    yield through
    for proxy in proxies:
        proxy.close()


def test_objects_are_listed_by_key_and_named_under_the_url(store):
    for key in ("a/2.txt", "a/1.txt", "a/", "ab/3.txt", "b.txt"):
        store.put(f"s3://pool/{key}", b"x")
    assert [item.key for item in storage.list_objects("s3://pool/a")] == ["a/1.txt", "a/2.txt", "ab/3.txt"]
    assert [item.name_under("s3://pool/a/") for item in storage.list_objects("s3://pool/a/")] == ["1.txt", "2.txt"]
    assert storage.list_objects("s3://pool/none") == []


def test_an_object_is_a_stream_that_seeks(store):
    store.put("s3://pool/x", CONTENT)
    with storage.open_object(storage.find_object("s3://pool/x")) as stream:
        assert stream.read() == CONTENT
        assert stream.seek(-5, os.SEEK_END) == len(CONTENT) - 5 and stream.read() == CONTENT[-5:]
        assert stream.seek(3) == 3 and stream.read(2) == CONTENT[3:5]


def test_a_read_goes_on_where_the_connection_broke(store, hanging_up, tmp_path):
    store.put("s3://pool/x", CONTENT)
    item = storage.find_object("s3://pool/x")
    proxy = hanging_up(150_000)
    with storage.open_object(item) as stream:
        assert stream.read() == CONTENT
    assert proxy.num_cuts >= 4  # 700 kB in parts of at most 150


def test_a_read_that_brings_nothing_is_given_up_and_nothing_is_left(store, hanging_up, tmp_path, monkeypatch):
    store.put("s3://pool/x", CONTENT)
    item = storage.find_object("s3://pool/x")
    (tmp_path / "x").write_bytes(b"old")
    proxy = hanging_up(0)
    monkeypatch.setattr(storage, "find_object", lambda url: item)  # HEAD does not pass the proxy
    with pytest.raises(StudyError, match=r"s3://pool/x breaks off at byte 0 of 700,000, and did so 9 times: check the network"):
        storage.download("s3://pool/x", tmp_path / "x")
    assert proxy.num_cuts == storage.RESUMES + 1
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_a_download_is_the_object(store, tmp_path):
    store.put("s3://pool/x", CONTENT)
    storage.download("s3://pool/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_an_object_that_is_replaced_meanwhile_is_refused(store):
    store.put("s3://pool/x", CONTENT)
    with storage.open_object(storage.find_object("s3://pool/x")) as stream:
        assert stream.read(10) == CONTENT[:10]
        store.put("s3://pool/x", CONTENT[::-1])
        stream.seek(600_000)
        with pytest.raises(StudyError, match="s3://pool/x was replaced while it was read: run the same command again"):
            stream.read()


def test_what_is_missing_or_no_url_is_one_sentence(store):
    with pytest.raises(StudyError, match=r"There is no s3://nowhere/x \(NoSuchBucket\): check the bucket"):
        storage.list_objects("s3://nowhere/x")
    with pytest.raises(StudyError, match=r"There is no s3://pool/nothing \(404\)"):
        storage.download("s3://pool/nothing", PROJECT / "never-written")
    with pytest.raises(StudyError, match="'pool/x' is no S3 url"):
        storage.list_objects("pool/x")


def test_missing_credentials_are_one_sentence(change_setting):
    change_setting("AWS_ACCESS_KEY_ID", None)
    change_setting("AWS_SECRET_ACCESS_KEY", None)
    with pytest.raises(StudyError, match=r"s3://pool/x can't be read without credentials .*set AWS_ACCESS_KEY_ID"):
        storage.list_objects("s3://pool/x")


def test_refused_credentials_are_one_sentence(store, monkeypatch):
    """moto checks rights when it is told to; the keys are nobody's."""
    with (
        monkeypatch.context() as rights,
        pytest.raises(StudyError, match=r"refuses access to s3://pool/x \(403 InvalidAccessKeyId\): check the credentials"),
    ):
        rights.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        storage.list_objects("s3://pool/x")


def test_a_store_out_of_reach_is_one_sentence(change_setting, monkeypatch):
    monkeypatch.setattr(storage, "REQUEST_ATTEMPTS", 1)
    change_setting("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StudyError, match=r"s3://pool/x can't be reached .*127.0.0.1:9.*check the network and AWS_ENDPOINT_URL"):
        storage.list_objects("s3://pool/x")


def test_a_bucket_is_created_only_when_asked(change_setting):
    change_setting("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(StudyError, match="There is no bucket 'data-of-study': create it, or let --create-bucket do so"):
        storage.ensure_bucket("s3://data-of-study/dvc", create=False)
    storage.ensure_bucket("s3://data-of-study/dvc")
    storage.ensure_bucket("s3://data-of-study/dvc", create=False)


@pytest.mark.slow
def test_dvc_pushes_to_the_configured_remote_and_pulls_from_it(store, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", module, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    outside = run("tasks.storage", "s3://study-remote/dvc", "--create-bucket")
    assert outside.returncode == 2 and outside.stderr.startswith("assay: `dvc remote add") and "Not inside a DVC repo" in outside.stderr

    assert run("dvc", "init", "--no-scm").returncode == 0
    assert run("tasks.storage", "s3://study-remote/dvc").returncode == 0
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "documents").write_bytes(CONTENT)
    for command in (["add", "data"], ["push"]):
        assert (finished := run("dvc", *command)).returncode == 0, finished.stderr
    subprocess.run(["rm", "-r", "data", ".dvc/cache"], cwd=tmp_path, check=True)
    assert (pulled := run("dvc", "pull")).returncode == 0, pulled.stderr
    assert (tmp_path / "data" / "documents").read_bytes() == CONTENT
    assert len(storage.list_objects("s3://study-remote/dvc/files/md5/")) == 2  # the file and its folder
    assert "endpointurl" not in (tmp_path / ".dvc" / "config").read_text()
