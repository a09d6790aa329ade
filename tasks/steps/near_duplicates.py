"""One document of those with much the same text."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt

from tasks.steps.base import StepContext
from tasks.steps.duplicates import Duplicates, DuplicateStep, Shard, identified
from tasks.steps.lsh import band_keys, connected
from tasks.steps.minhash import signatures, similarity
from tasks.steps.normalised_text import folded

_PAIRS_AT_ONCE = 1 << 14


class NearDuplicates(DuplicateStep):
    """Keeps one of the documents that share most of their word n-grams: MinHash (Broder 1997), bands of it as keys (LSH), connected components.

    The defaults are FineWeb's (arXiv 2406.17557, section 3.4): words 5-grams, 14 bands of 8 rows; documents of Jaccard similarity J share a key
    with probability 1 - (1 - J^8)^14: 0.05 at 0.5, 0.56 at 0.7, 0.92 at 0.8. Words are cut at white space, in lower case.
    A document's recorded value is its estimated similarity to the survivor, which may be far in a chain of near-duplicates.
    """

    step: Literal["near-duplicates"]
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
        files = context.directory / f"{context.shard:06d}"
        np.save(_keys(files), np.ascontiguousarray(band_keys(signatures_DK, self.bands, self.rows).T))
        # Two different minima have the same lowest 16 bits once in 65,536 times: the estimate hardly changes (arXiv 0910.3349).
        np.save(_signatures(files), signatures_DK.astype(np.uint16))
        return Shard(identified(table), files)

    def reduce(self, digests: list[Shard], context: StepContext) -> Duplicates:
        documents = pa.concat_tables([shard.documents for shard in digests])
        order = pc.sort_indices(documents, [("id", "ascending")]).to_numpy()
        files = [shard.files for shard in digests if shard.files]
        signatures_DK = self._sorted_signatures(files, order, context.directory)
        keys_by_band = (np.concatenate([np.load(_keys(shard), mmap_mode="r")[band] for shard in files])[order] for band in range(self.bands))

        def similar(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            return _similarities(signatures_DK, first, second) >= self.min_similarity

        group_D = connected(keys_by_band, len(order), None if self.min_similarity is None else similar)
        documents = documents.take(order)
        survivor_D, summary = self.survivors(documents, group_D)
        removed = np.flatnonzero(survivor_D != np.arange(len(survivor_D)))
        values = _similarities(signatures_DK, removed, survivor_D[removed])
        return Duplicates(pa.table({"id": documents["id"].take(removed), "similarity": values}), summary)

    def _sorted_signatures(self, files: list[Path], order: np.ndarray, directory: Path) -> np.ndarray:
        """All signatures in the order of the documents' ids, on disk, memory-mapped."""
        shape = (len(order), self.bands * self.rows)
        signatures_DK = np.lib.format.open_memmap(directory / "sorted.npy", "w+", np.uint16, shape)
        place = np.argsort(order)
        start = 0
        for shard in files:
            part = np.load(_signatures(shard), mmap_mode="r")
            signatures_DK[place[start : start + len(part)]] = part
            start += len(part)
        return signatures_DK


def _similarities(signatures_DK: np.ndarray, first_P: np.ndarray, second_P: np.ndarray) -> np.ndarray:
    """Estimated similarity of pairs of documents, a few at a time."""
    result_P = np.empty(len(first_P))
    for start in range(0, len(first_P), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        result_P[pairs] = similarity(signatures_DK[first_P[pairs]], signatures_DK[second_P[pairs]])
    return result_P


def _keys(files: Path) -> Path:
    return files.with_suffix(".keys.npy")


def _signatures(files: Path) -> Path:
    return files.with_suffix(".signatures.npy")
