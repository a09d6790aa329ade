import io
import sys

import pytest

from tasks.steps.funnel import Amount
from tasks.steps.progress import progress, speed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream, is_shown", [(Terminal(), True), (io.StringIO(), False)])
def test_a_terminal_shows_shards_and_speed(stream, is_shown, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("normalize c4", 3) as done:
        for _ in range(2):
            done(Amount(documents=500, bytes=2_000_000))
    said = stream.getvalue()
    assert all(part in said for part in ("normalize c4", "2/3", "documents/s", "MB/s")) if is_shown else said == ""


def test_speed_is_of_all_that_was_seen():
    assert speed(3000, 12_000_000, 2) == "1,500 documents/s 6.0 MB/s"
