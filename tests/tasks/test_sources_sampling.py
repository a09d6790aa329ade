import random

import pytest

from tasks.sources.config import LocalSource
from tasks.sources.raw import RawDocument
from tasks.sources.sampling import HashSample, Shard, take_shares

TEXTS = [f"{number} ".encode() * random.Random(number).randrange(1, 200) for number in range(5000)]
TOTAL = sum(map(len, TEXTS))


@pytest.mark.parametrize("max_bytes", [50_000, TOTAL // 3, TOTAL])
def test_a_hash_sample_is_nearly_full_spread_and_the_same_in_any_order(max_bytes):
    sample = HashSample(TEXTS, max_bytes)
    taken = [text for text in TEXTS if text in sample]
    assert max_bytes - 5_000 <= sum(map(len, taken)) <= max_bytes
    first_half = sum(map(len, (text for text in TEXTS[:2500] if text in sample)))
    assert first_half / sum(map(len, taken)) == pytest.approx(sum(map(len, TEXTS[:2500])) / TOTAL, abs=0.2)
    assert HashSample(TEXTS[::-1], max_bytes).num_buckets == sample.num_buckets


def test_a_larger_hash_sample_holds_the_smaller():
    small, large = HashSample(TEXTS, 50_000), HashSample(TEXTS, 200_000)
    assert {text for text in TEXTS if text in small} < {text for text in TEXTS if text in large}


def test_copies_stay_together_in_a_hash_sample():
    sample = HashSample(TEXTS + TEXTS, 50_000)
    assert 45_000 <= 2 * sum(len(text) for text in TEXTS if text in sample) <= 50_000


def shares(bytes_by_shard: dict[str, int], max_bytes: int | None, monkeypatch, min_share_bytes: int = 1) -> tuple[dict[str, int], list[str]]:
    """Bytes taken by shard, and the shards that were opened; documents have 10 bytes, stored sizes are the texts'."""
    monkeypatch.setattr("tasks.sources.sampling.MIN_SHARE_BYTES", min_share_bytes)
    opened: list[str] = []

    def shard(name: str, num_bytes: int) -> Shard:
        def documents():
            opened.append(name)
            yield from (RawDocument("0123456789") for _ in range(num_bytes // 10))

        return Shard(name, num_bytes, documents)

    source = LocalSource.model_validate({"path": "-", "domain": "d", "max_bytes": max_bytes})
    taken = dict.fromkeys(bytes_by_shard, 0)
    for name, document in take_shares([shard(*item) for item in bytes_by_shard.items()], source):
        taken[name] += len(document.text or "")
    return taken, opened


def test_shares_are_proportional_to_the_shards_and_stay_below_max_bytes(monkeypatch):
    taken, opened = shares({"a": 10_000, "b": 30_000, "c": 60_000}, 10_000, monkeypatch)
    assert sum(taken.values()) <= 10_000
    assert [round(taken[name] / 1000) for name in "abc"] == [1, 3, 6]
    assert opened != ["a", "b", "c"] and sorted(opened) == ["a", "b", "c"]


def test_a_small_sample_opens_few_shards_and_not_the_first_by_name(monkeypatch):
    taken, opened = shares({f"{number:03}": 1_000 for number in range(500)}, 2_000, monkeypatch, min_share_bytes=500)
    assert len(opened) == 4 and sum(taken.values()) == 2_000
    assert opened != sorted(opened) and max(opened) > "100"


def test_what_a_short_shard_leaves_goes_to_the_next_ones(monkeypatch):
    taken, _ = shares({"a": 1_000, "b": 1_000, "c": 1_000}, 2_990, monkeypatch)
    assert sum(taken.values()) == 2_990
    assert shares({"a": 1_000, "b": 500}, 10_000, monkeypatch)[0] == {"a": 1_000, "b": 500}


def test_without_max_bytes_all_shards_are_read_in_their_order(monkeypatch):
    assert shares({"b": 1_000, "a": 500}, None, monkeypatch) == ({"b": 1_000, "a": 500}, ["b", "a"])


def test_an_overlong_document_ends_no_share():
    """ingest drops or refuses it; it must not look as if the sample were full."""
    source = LocalSource.model_validate({"path": "-", "domain": "d", "max_bytes": 20, "max_document_bytes": 15})
    documents = [RawDocument("x" * 16), RawDocument("0123456789")]
    assert [len(document.text or "") for _, document in take_shares([Shard("a", 1, lambda: iter(documents))], source)] == [16, 10]
