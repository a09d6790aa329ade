"""Steps that keep one document of each group of duplicates: the longest, and of several longest the one with the smallest id."""

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt

from models.frozen import StudyError
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide
from tasks.steps.lsh import band_keys, connected
from tasks.steps.minhash import signatures, similarity
from tasks.steps.normalised_text import digests, normalised

# A cluster of fewer documents is never implausible, whatever its share of a small corpus.
PLAUSIBLE_CLUSTER_DOCUMENTS = 100
_BEGINNING_CHARACTERS = 60  # of a document, shown where a cluster is refused
_PAIRS_AT_ONCE = 1 << 14


class Duplicates(NamedTuple):
    """The state of both steps. Row by row: a document to remove, and its similarity to the one that survives."""

    removed: pa.Table  # id, similarity
    summary: dict[str, Any]


class Shard(NamedTuple):
    """A shard's digest. Row by row: a document."""

    documents: pa.Table  # id, bytes, beginning; and for exact duplicates digest
    files: Path | None = None  # name without ending of the shard's `.keys.npy` and `.signatures.npy`


class DuplicateStep(CorpusStep):
    """What both steps share."""

    max_cluster_share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description=f"of all documents: a larger group of duplicates (of at least {PLAUSIBLE_CLUSTER_DOCUMENTS}) stops the recipe; 1 allows all",
    )
    reason: ClassVar[str]

    @property
    def threshold(self) -> float | None:
        raise NotImplementedError

    def apply(self, table: pa.Table, state: Duplicates, context: StepContext) -> StepOutcome:
        found = pc.index_in(table["id"], value_set=state.removed["id"])
        reason = pc.if_else(pc.is_valid(found), pa.scalar(self.reason), pa.scalar(None, pa.string()))
        return decide(table, reason, pc.take(state.removed["similarity"], found), self.threshold)

    def record(self, state: Duplicates) -> dict[str, Any]:
        return state.summary

    def _survivors(self, documents: pa.Table, group_D: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Per document, the one of its group that survives; and the figures of all groups.

        Args:
            documents: id, bytes, beginning; sorted by id.
            group_D: a number per document, equal for duplicates.

        Raises:
            StudyError: when a group is implausibly large.
        """
        num = len(group_D)
        by_group = np.lexsort((np.arange(num), -documents["bytes"].to_numpy(), group_D))
        groups, first, group_D, sizes = np.unique(group_D[by_group], return_index=True, return_inverse=True, return_counts=True)
        survivor_of_group = by_group[first]
        survivor_D = np.empty(num, np.int64)
        survivor_D[by_group] = survivor_of_group[group_D]
        largest = np.lexsort((survivor_of_group, -sizes))[:5]
        for group in largest[:1]:
            if sizes[group] >= PLAUSIBLE_CLUSTER_DOCUMENTS and sizes[group] > self.max_cluster_share * num:
                members = documents.filter(pa.array(survivor_D == survivor_of_group[group])).slice(0, 3).to_pylist()
                examples = "; ".join(f"{member['id']} {member['beginning']!r}" for member in members)
                raise StudyError(
                    f"{self.step}: {sizes[group]:,} of {num:,} documents would be duplicates of one another, more than max_cluster_share "
                    f"{self.max_cluster_share:g} allows ({examples}): raise it if that is right, else make the step stricter."
                )
        summary = {
            "documents": num,
            "groups": int((sizes > 1).sum()),
            "removed": num - len(groups),
            "largest": [
                {"survivor": documents["id"][int(survivor_of_group[group])].as_py(), "documents": int(sizes[group])}
                for group in largest
                if sizes[group] > 1
            ],
        }
        return survivor_D, summary


class ExactDuplicates(DuplicateStep):
    """Keeps one of the documents whose texts are equal but for case, white space and Unicode composition (NFC)."""

    step: Literal["exact-duplicates"]
    reason: ClassVar[str] = "exact-duplicate"

    @property
    def threshold(self) -> float:
        return 1.0

    def map(self, table: pa.Table, context: StepContext) -> Shard:
        digest = pa.array(digests(normalised(table["text"])).tolist(), pa.binary())
        return Shard(_identified(table).append_column("digest", digest))

    def reduce(self, digests: list[Shard], context: StepContext) -> Duplicates:
        documents = pa.concat_tables([shard.documents for shard in digests]).sort_by("id")
        group_D = documents["digest"].combine_chunks().dictionary_encode().indices.to_numpy()
        survivor_D, summary = self._survivors(documents, group_D)
        removed = np.flatnonzero(survivor_D != np.arange(len(survivor_D)))
        return Duplicates(pa.table({"id": documents["id"].take(removed), "similarity": np.ones(len(removed))}), summary)


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
        signatures_DK = signatures(normalised(table["text"]), self.ngram_words, self.bands * self.rows)
        files = context.directory / f"{context.shard:06d}"
        np.save(_keys(files), np.ascontiguousarray(band_keys(signatures_DK, self.bands, self.rows).T))
        # Two different minima have the same lowest 16 bits once in 65,536 times: the estimate hardly changes (arXiv 0910.3349).
        np.save(_signatures(files), signatures_DK.astype(np.uint16))
        return Shard(_identified(table), files)

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
        survivor_D, summary = self._survivors(documents, group_D)
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


def _identified(table: pa.Table) -> pa.Table:
    text = table["text"]
    sizes = pc.cast(pc.binary_length(text), pa.int64())
    return pa.table({"id": table["id"], "bytes": sizes, "beginning": pc.utf8_slice_codeunits(text, 0, _BEGINNING_CHARACTERS)})


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
