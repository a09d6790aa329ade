"""One document of those with much the same text."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from tasks.steps.base import StepContext
from tasks.steps.duplicates import DuplicateStep, Groups, Shard, digest
from tasks.steps.lsh import band_keys, connected
from tasks.steps.mapped_tables import release
from tasks.steps.minhash import signatures, similarity
from tasks.steps.normalised_text import folded

_PAIRS_AT_ONCE = 1 << 13  # each touches two pages of signatures


class NearDuplicates(DuplicateStep):
    """Keeps one of the documents that share most of their word n-grams: MinHash (Broder 1997), bands of it as keys (LSH), connected components. The
    longest survives, of several longest the one with the smallest id. Annotates `cluster_size`, the number of documents that it stands for.

    The defaults are FineWeb's (arXiv 2406.17557, section 3.4): words 5-grams, 14 bands of 8 rows; documents of Jaccard similarity J share a key
    with probability 1 - (1 - J^8)^14: 0.05 at 0.5, 0.56 at 0.7, 0.92 at 0.8. Words are cut at white space, in lower case.
    A document's recorded value is its estimated similarity to the survivor, which may be far in a chain of near-duplicates.
    """

    step: Literal["near-duplicates"]
    version: ClassVar[int] = 2
    ngram_words: PositiveInt = 5
    bands: PositiveInt = 14
    rows: PositiveInt = Field(default=8, description="entries of the signature per band")
    min_similarity: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="estimated Jaccard similarity that documents with a common key must have; none, as in FineWeb, when absent",
    )
    reason: ClassVar[str] = "near-duplicate"

    @property
    def threshold(self) -> float | None:
        return self.min_similarity

    def map(self, table: pa.Table, context: StepContext) -> Shard:
        signatures_DK = signatures(folded(table["text"]), self.ngram_words, self.bands * self.rows)
        shard = digest(table, context)
        np.save(_keys(shard), np.ascontiguousarray(band_keys(signatures_DK, self.bands, self.rows).T))
        # Two different minima have the same lowest 16 bits once in 65,536 times: the estimate hardly changes (arXiv 0910.3349).
        np.save(_signatures(shard), signatures_DK.astype(np.uint16))
        return shard

    def groups(self, shards: list[Shard], order_D: np.ndarray, context: StepContext) -> Groups:
        signatures_DK = self._sorted_signatures(shards, order_D, context.directory)
        keys_by_band = (np.concatenate([np.load(_keys(shard), mmap_mode="r")[band] for shard in shards])[order_D] for band in range(self.bands))

        def similarities(first_P: np.ndarray, second_P: np.ndarray) -> np.ndarray:
            return _similarities(signatures_DK, first_P, second_P)

        def similar(first_P: np.ndarray, second_P: np.ndarray) -> np.ndarray:
            return similarities(first_P, second_P) >= self.min_similarity

        return Groups(connected(keys_by_band, len(order_D), None if self.min_similarity is None else similar), similarities)

    def _sorted_signatures(self, shards: list[Shard], order_D: np.ndarray, directory: Path) -> np.memmap:
        """All signatures in the order of the documents' ids, on disk, memory-mapped."""
        shape = (len(order_D), self.bands * self.rows)
        signatures_DK = np.lib.format.open_memmap(directory / "sorted.npy", "w+", np.uint16, shape)
        place = np.argsort(order_D)
        start = 0
        for shard in shards:
            part = np.load(_signatures(shard), mmap_mode="r")
            signatures_DK[place[start : start + len(part)]] = part
            start += len(part)
            release(signatures_DK)
        return signatures_DK


def _similarities(signatures_DK: np.memmap, first_P: np.ndarray, second_P: np.ndarray) -> np.ndarray:
    """Estimated similarity of pairs of documents, a few at a time."""
    result_P = np.empty(len(first_P))
    for start in range(0, len(first_P), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        result_P[pairs] = similarity(signatures_DK[first_P[pairs]], signatures_DK[second_P[pairs]])
        release(signatures_DK)
    return result_P


def _keys(shard: Shard) -> Path:
    return shard.files.with_suffix(".keys.npy")


def _signatures(shard: Shard) -> Path:
    return shard.files.with_suffix(".signatures.npy")
