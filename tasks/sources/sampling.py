"""What `max_bytes` takes of a source: a sample over the whole of it, the same whenever it is asked for.

Two ways, by what a source allows. `HashSample`: of what can be read twice at little cost (archives, local files), every document has the same
chance. `take_shares`: of remote shards (S3 objects, shards of a Hugging Face dataset), the beginnings of as many shards as can be had without opening
more than `max_bytes` are worth.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tasks.sources.config import SourceConfig
from tasks.sources.raw import RawDocument

NUM_BUCKETS = 1 << 20
MIN_SHARE_BYTES = 4_000_000  # of one shard: opening a shard costs a request or more


class HashSample:
    """Documents whose text's hash lies below the threshold that leaves at most `max_bytes` of text.

    By text and not by id: copies stay together, so that a sample is as full of duplicates as its source.
    """

    def __init__(self, texts: Iterable[bytes], max_bytes: int):
        """One pass over all texts (UTF-8); memory is NUM_BUCKETS counters."""
        bucket_bytes = np.zeros(NUM_BUCKETS, dtype=np.int64)
        for text in texts:
            bucket_bytes[_bucket(text)] += len(text)
        self.num_buckets = int(np.searchsorted(np.cumsum(bucket_bytes), max_bytes, side="right"))

    def __contains__(self, text: bytes) -> bool:
        return _bucket(text) < self.num_buckets


class Shard(NamedTuple):
    """A part of a source that is read from its beginning."""

    name: str
    num_bytes: int  # as stored; only the proportions between shards count
    documents: Callable[[], Iterator[RawDocument]]


def take_shares(shards: Sequence[Shard], source: SourceConfig) -> Iterator[tuple[str, RawDocument]]:
    """(shard's name, document) of all shards in their order or, with the source's `max_bytes`, of shards in the order of their names' hashes:
    from each its share by stored size of what is still wanted, and MIN_SHARE_BYTES at least. What a short shard leaves goes to the next.
    """
    if source.max_bytes is None:
        yield from ((shard.name, document) for shard in shards for document in shard.documents())
        return
    missing_bytes, unread_bytes = source.max_bytes, sum(shard.num_bytes for shard in shards)
    for shard in sorted(shards, key=lambda shard: hashlib.blake2b(shard.name.encode()).digest()):
        share = min(missing_bytes, max(MIN_SHARE_BYTES, missing_bytes * shard.num_bytes // max(unread_bytes, 1)))
        taken, exhausted = 0, True
        for document in shard.documents():
            text_bytes = len((document.text or "").encode("utf-8", "surrogatepass"))
            if text_bytes > source.max_document_bytes:
                text_bytes = 0  # ingest refuses or drops it
            if taken + text_bytes > share:
                exhausted = False
                break
            taken += text_bytes
            yield shard.name, document
        if share == missing_bytes and not exhausted:
            return
        missing_bytes -= taken
        unread_bytes -= shard.num_bytes


def _bucket(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"max_bytes").digest()) % NUM_BUCKETS
