"""Words, lines and paragraphs of a batch of texts as NumPy arrays of byte offsets: found, counted and hashed without a Python loop.

Shape suffixes: B bytes of the batch's text, D documents, S segments (words, lines or paragraphs).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise

import numpy as np
import pyarrow as pa

CHUNK_BYTES = 1 << 20  # of text that is looked at together: the arrays below stay in the processor's cache

_SPACE = np.zeros(256, bool)
_SPACE[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = True  # as str.split has it
_SPACE_LEADS = np.zeros(256, bool)
_SPACE_LEADS[[0xC2, 0xE1, 0xE2, 0xE3]] = True
_WIDE_SPACES = [chr(c).encode() for c in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
# The first bytes of letters: ASCII ones, and all characters from U+00C0 on but U+2000-U+2FFF (punctuation and symbols) and those outside
# the basic plane (emoji). Exact enough for "does this word hold a letter".
_LETTER_LEADS = np.zeros(256, bool)
_LETTER_LEADS[[*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xC3, 0xE2), *range(0xE3, 0xEE)]] = True

_BYTE_CODES = np.random.default_rng(0).integers(1, 1 << 63, 256, np.uint64) * np.uint64(2) + np.uint64(1)
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
_BASE_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


@dataclass(frozen=True)
class Segments:
    """S segments of text, in order. They don't cross documents; a document may have none."""

    start_S: np.ndarray  # first byte
    end_S: np.ndarray  # behind the last byte
    first_D: np.ndarray  # each document's first segment; D + 1 of them

    @property
    def count_D(self) -> np.ndarray:
        return np.diff(self.first_D)

    @property
    def document_S(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.first_D) - 1), self.count_D)


class TextChunk:
    """The texts of D documents as B bytes."""

    def __init__(self, texts: pa.StringArray):
        offset_D = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        data = texts.buffers()[2]
        self.bytes_B = np.frombuffer(data, np.uint8)[offset_D[0] : offset_D[-1]] if data else np.empty(0, np.uint8)
        self.offset_D = offset_D - offset_D[0]  # D + 1 of them

    @cached_property
    def space_B(self) -> np.ndarray:
        space_B = _SPACE[self.bytes_B]
        leads = np.flatnonzero(_SPACE_LEADS[self.bytes_B])
        if len(leads):
            padded_B = np.concatenate([self.bytes_B, np.zeros(2, np.uint8)])
            for wide in _WIDE_SPACES:
                found = leads[np.all([padded_B[leads + i] == byte for i, byte in enumerate(wide)], axis=0)]
                for i in range(len(wide)):
                    space_B[found + i] = True
        return space_B

    @cached_property
    def words(self) -> Segments:
        """Runs of characters that are no white space."""
        return self._runs(~self.space_B)

    @cached_property
    def lines(self) -> Segments:
        """Runs of characters that are no newline: lines that are not empty."""
        return self._runs(self.bytes_B != 10)

    @cached_property
    def paragraphs(self) -> Segments:
        """What stands between empty lines."""
        newline_B = self.bytes_B == 10
        pair_B = newline_B.copy()
        pair_B[1:] &= newline_B[:-1]
        pair_B[self.offset_D[self.offset_D < len(pair_B)]] = False  # a document's first newline pairs with none before it
        apart_B = pair_B.copy()
        apart_B[:-1] |= pair_B[1:]
        return self._runs(~apart_B)

    def _runs(self, inside_B: np.ndarray) -> Segments:
        edge_B = np.empty(len(inside_B) + 1, bool)  # does inside change before this byte?
        edge_B[0] = edge_B[-1] = True
        np.not_equal(inside_B[1:], inside_B[:-1], out=edge_B[1:-1])
        edge_B[self.offset_D] = True
        edges = np.flatnonzero(edge_B)
        starts = inside_B[edges[:-1]]
        start_S, end_S = edges[:-1][starts], edges[1:][starts]
        return Segments(start_S, end_S, np.searchsorted(start_S, self.offset_D))

    @cached_property
    def _characters_B(self) -> np.ndarray:
        return _sums(self.bytes_B & 0xC0 != 0x80)

    @cached_property
    def _letters_B(self) -> np.ndarray:
        return _sums(_LETTER_LEADS[self.bytes_B])

    @cached_property
    def _hash_B(self) -> np.ndarray:
        powers_B, _ = _powers(len(self.bytes_B))
        return _sums(_BYTE_CODES[self.bytes_B] * powers_B[: len(self.bytes_B)], np.uint64)

    @property
    def characters_D(self) -> np.ndarray:
        return np.diff(self._characters_B[self.offset_D])

    def characters_S(self, segments: Segments) -> np.ndarray:
        return self._characters_B[segments.end_S] - self._characters_B[segments.start_S]

    def letters_S(self, segments: Segments) -> np.ndarray:
        return self._letters_B[segments.end_S] - self._letters_B[segments.start_S]

    def hash_S(self, segments: Segments) -> np.ndarray:
        """Equal for equal bytes: a polynomial hash modulo 2**64, from differences of one running sum."""
        _, inverse_B = _powers(len(self.bytes_B))
        return (self._hash_B[segments.end_S] - self._hash_B[segments.start_S]) * inverse_B[segments.start_S]


def chunks(texts: pa.ChunkedArray) -> Iterator[TextChunk]:
    """The texts in pieces of about CHUNK_BYTES (a document is never cut)."""
    for array in texts.cast(pa.string()).chunks:
        if not len(array):
            continue
        size_D = np.diff(np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64))
        piece_D = np.cumsum(size_D) // CHUNK_BYTES
        cuts = [0, *(np.flatnonzero(np.diff(piece_D)) + 1), len(array)]
        for start, end in pairwise(cuts):
            yield TextChunk(array.slice(start, end - start))


@cache
def hash_word(word: str) -> np.uint64:
    """As `TextChunk.hash_S` gives for this word."""
    chunk = TextChunk(pa.array([word], pa.string()))
    return chunk.hash_S(chunk.words)[0]


def _sums(values_B: np.ndarray, dtype: type = np.int64) -> np.ndarray:
    """Running sums that begin with 0: the sum over [start, end) is sums[end] - sums[start]."""
    sums_B = np.zeros(len(values_B) + 1, dtype)
    np.cumsum(values_B, out=sums_B[1:])
    return sums_B


@lru_cache(maxsize=1)
def _powers_of(length: int) -> tuple[np.ndarray, np.ndarray]:
    powers_B, inverse_B = np.full(length, _BASE), np.full(length, _BASE_INVERSE)
    powers_B[:1] = inverse_B[:1] = 1
    return np.cumprod(powers_B, dtype=np.uint64), np.cumprod(inverse_B, dtype=np.uint64)


def _powers(num_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE**i and BASE**-i for i up to `num_bytes` at least."""
    return _powers_of(max(2 * CHUNK_BYTES, 1 << (num_bytes + 1).bit_length()))
