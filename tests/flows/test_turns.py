"""Who waits for another says so, and not for ever."""

import pytest
from filelock import FileLock

from flows import turns
from flows.turns import one_at_a_time
from models.frozen import StudyError


def test_who_comes_first_does_not_wait(tmp_path):
    with one_at_a_time(FileLock(tmp_path / "lock"), pytest.fail) as waited:
        assert not waited


def test_who_comes_second_says_that_it_waits_and_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "LIMIT_SECONDS", 0.1)
    said = []
    lock = tmp_path / "lock"
    held, refused = FileLock(lock), pytest.raises(StudyError, match=r"has held .*lock for a week")
    with held, refused, one_at_a_time(FileLock(lock), lambda: said.append("waits")):
        pytest.fail()
    assert said == ["waits"]
