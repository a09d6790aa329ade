"""Servers that the tests of several tasks share."""

import pytest

from tasks import storage
from tests.tasks.local_store import LocalStore


@pytest.fixture(scope="session")
def _running_store():
    store = LocalStore()
    yield store
    store.server.stop()


@pytest.fixture
def store(_running_store, monkeypatch, tmp_path_factory):
    """An S3 store with an empty bucket `pool`, to which the environment points and to nothing else."""
    for name, value in _running_store.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        (settings := tmp_path_factory.mktemp("aws") / "none").touch()
        monkeypatch.setenv(name, str(settings))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    _running_store.empty()
    storage.ensure_bucket("s3://pool")
    return _running_store


@pytest.fixture
def change_setting(store, monkeypatch):
    """Changes a setting of S3's client for one test; None takes it away."""

    def change(name: str, value: str | None) -> None:
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
        storage._client.cache_clear()

    yield change
    storage._client.cache_clear()
