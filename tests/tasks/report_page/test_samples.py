from collections import Counter

import pyarrow as pa
import pytest

from tasks import layout
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, write_shards
from tasks.report_page.samples import EXCERPT_CHARACTERS, PER_DOMAIN, sample_corpus


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(texts: list[str], reverse: bool = False, shard_bytes: int = 1 << 20) -> None:
        rows = [{"id": f"d/{i}", "text": text, "source": "s", "domain": "even" if i % 2 == 0 else "odd"} for i, text in enumerate(texts)]
        kept = pa.Table.from_pylist(rows[::-1] if reverse else rows, DOCUMENT_SCHEMA)
        dropped = [{**row, "step": "language", "reason": "language unsure", "value": 0.4, "threshold": 0.5} for row in rows[:3]]
        write_shards(layout.kept("clean"), [kept], DOCUMENT_SCHEMA, shard_bytes)
        write_shards(layout.removed("clean"), [pa.Table.from_pylist(dropped, REMOVED_SCHEMA)], REMOVED_SCHEMA)

    return write


def test_samples_do_not_depend_on_order_or_shards(corpus):
    texts = [f"text {i} " * 20 for i in range(200)]
    corpus(texts)
    first = sample_corpus("clean", seed=0)
    corpus(texts, reverse=True, shard_bytes=1000)
    assert sample_corpus("clean", seed=0) == first
    assert {domain: len(samples) for domain, samples in first["kept"].items()} == {"even": PER_DOMAIN, "odd": PER_DOMAIN}


def test_every_document_has_the_same_chance(corpus):
    corpus([f"text {i}" for i in range(20)])
    drawn = Counter(sample.id for seed in range(200) for sample in sample_corpus("clean", seed)["kept"]["even"])
    expected = 200 * PER_DOMAIN / 10
    assert len(drawn) == 10
    assert all(abs(count - expected) < 5 * (expected * 0.7) ** 0.5 for count in drawn.values())


def test_a_dropped_document_tells_why(corpus):
    corpus(["x" * (EXCERPT_CHARACTERS + 34)] * 6)
    dropped = sample_corpus("clean", seed=0)["removed"]
    assert len(dropped["even"]) == 2
    assert len(dropped["odd"]) == 1
    (sample,) = dropped["odd"]
    assert (sample.step, sample.reason, sample.value, sample.threshold) == ("language", "language unsure", 0.4, 0.5)
    assert (len(sample.excerpt), sample.left_out) == (EXCERPT_CHARACTERS, 34)
