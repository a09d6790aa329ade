"""Lines, or paragraphs, that come again and again in a corpus: menus, notices, signatures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt

from tasks.atomic import replace_file
from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide, set_column
from tasks.steps.segments import Segments, TextChunk, chunks

REMOVED_LINES = pa.field("removed_lines", pa.string())
_RANGES = 256  # of hashes, counted one after the other: of all shards' counts so small a part is in memory


class Frequent(NamedTuple):
    hashes: Path  # uint64, sorted
    summary: dict[str, Any]


class LineDuplicates(CorpusStep):
    """Takes lines that are in more than `max_documents` documents out of all of them, as Llama 3 does (arXiv 2407.21783, section 3.1.1: more than 6
    times in 30 million documents; the same idea as CCNet's, arXiv 1911.00359, which keeps the first). A line counts once per document. What was
    taken out stays beside the text, in `removed_lines`; a document of which nothing is left is dropped.

    Lines are the same when their bytes are, so put `normalize` before. They are known by 64-bit hashes: among 10^9 different lines, a pair shares one
    with a probability of 0.03, and then it would have to matter.
    """

    step: Literal["line-duplicates"]
    unit: Literal["line", "paragraph"] = Field(default="line", description="paragraphs stand between empty lines")
    max_documents: PositiveInt = Field(default=6, description="that may share a line before it goes from all of them")
    reason: ClassVar[str] = "duplicate lines only"

    def annotations(self) -> pa.Schema:
        return pa.schema([REMOVED_LINES])

    def map(self, table: pa.Table, context: StepContext) -> Path:
        """The file of the shard's lines: hash, number of documents; sorted by hash."""
        found = [np.empty(0, np.uint64)]
        for chunk in chunks(table["text"]):
            segments = self._segments(chunk)
            order = np.lexsort((hash_S := chunk.hash_S(segments), document_S := segments.document_S))
            first = np.append(True, (np.diff(hash_S[order]) != 0) | (np.diff(document_S[order]) != 0))[: len(order)]
            found.append(hash_S[order][first])
        path = context.directory / f"lines-{context.shard:06d}.npy"
        with replace_file(path) as partial, partial.open("wb") as file:
            np.save(file, np.stack([part.astype(np.uint64) for part in np.unique(np.concatenate(found), return_counts=True)]))
        return path

    def reduce(self, digests: list[Path], context: StepContext) -> Frequent:
        shards = [np.load(path, mmap_mode="r") for path in digests]
        num_lines, frequent, documents = 0, [], []
        for hash_S, count_S in _counted(shards):
            num_lines += len(hash_S)
            frequent.append(hash_S[count_S > self.max_documents])
            documents.append(count_S[count_S > self.max_documents])
        path = context.directory / "frequent.npy"
        np.save(path, np.concatenate(frequent))
        in_documents = np.concatenate(documents)
        return Frequent(path, {"distinct": num_lines, "removed": len(in_documents), "documents_of_most_frequent": int(in_documents.max(initial=0))})

    def apply(self, table: pa.Table, state: Frequent, context: StepContext) -> StepOutcome:
        frequent = np.load(state.hashes, mmap_mode="r")
        parts = [self._split(chunk, frequent) for chunk in chunks(table["text"])]
        left, gone = (pa.chunked_array([part[side] for part in parts], pa.string()) for side in (0, 1))
        changed, nothing = pc.not_equal(gone, ""), pa.scalar(None, pa.string())
        empty = pc.and_(changed, pc.equal(left, ""))
        original = set_column(table, REMOVED_LINES, self._with_earlier(table, pc.if_else(changed, gone, nothing)))
        _, removed = decide(original, pc.if_else(empty, self.reason, nothing))
        rewritten = set_column(original, DOCUMENT_SCHEMA.field("text"), pc.if_else(changed, left, table["text"]))
        return StepOutcome(rewritten.filter(pc.invert(empty)), removed)

    def record(self, state: Frequent) -> dict[str, Any]:
        return state.summary

    def _segments(self, chunk: TextChunk) -> Segments:
        return chunk.lines if self.unit == "line" else chunk.paragraphs

    def _split(self, chunk: TextChunk, frequent: np.ndarray) -> tuple[pa.Array, pa.Array]:
        """Of each document what is left, and what is taken out; each without newlines at its end."""
        segments = self._segments(chunk)
        hash_S = chunk.hash_S(segments)
        taken_S = frequent[np.minimum(np.searchsorted(frequent, hash_S), max(0, len(frequent) - 1))] == hash_S if len(frequent) else hash_S != hash_S
        end_S = np.append(segments.start_S[1:], 0)  # with what stands between it and the next one
        is_last_S = np.append(np.diff(segments.document_S) != 0, True)[: len(hash_S)]
        end_S[is_last_S] = chunk.offset_D[segments.document_S[is_last_S] + 1]
        edges_B = np.zeros(len(chunk.bytes_B) + 1, np.int8)
        edges_B[segments.start_S[taken_S]] += 1
        edges_B[end_S[taken_S]] -= 1
        taken_B = np.cumsum(edges_B[:-1], dtype=np.int8) > 0
        return _texts(chunk, ~taken_B), _texts(chunk, taken_B)

    def _with_earlier(self, table: pa.Table, gone: pa.ChunkedArray) -> pa.ChunkedArray:
        """What an earlier step of this kind took out stays, too."""
        if REMOVED_LINES.name not in table.column_names:
            return gone
        both = pc.binary_join_element_wise(table[REMOVED_LINES.name], gone, "\n", null_handling="skip")
        return pc.if_else(pc.equal(both, ""), pa.scalar(None, pa.string()), both)


def _counted(shards: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields hashes and their counts over all shards, range by range."""
    bounds = np.linspace(0, 2.0**64, _RANGES, endpoint=False).astype(np.uint64)
    cuts = [np.append(np.searchsorted(hash_S, bounds), len(hash_S)) for hash_S, _ in shards]
    for number in range(_RANGES):
        hash_S, count_S = np.concatenate([shard[:, cut[number] : cut[number + 1]] for shard, cut in zip(shards, cuts, strict=True)], axis=1)
        distinct_S, place_S = np.unique(hash_S, return_inverse=True)
        yield distinct_S, np.bincount(place_S, count_S, len(distinct_S)).astype(np.int64)


def _texts(chunk: TextChunk, inside_B: np.ndarray) -> pa.Array:
    """The bytes inside, by document."""
    ends_B = np.append(0, np.cumsum(inside_B))
    offsets, data = ends_B[chunk.offset_D].astype(np.int32), chunk.bytes_B[inside_B]
    texts = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
    return pc.utf8_rtrim(texts, "\n")
