"""Words, lines and paragraphs of a batch of texts as NumPy arrays of byte offsets: found, counted and hashed without a Python loop.

Shape suffixes: B bytes of the batch's text, D documents, S segments (words, lines or paragraphs).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tasks.steps.segment_hashes import LANE_BYTES, hash_segments

# Of text that is looked at together. The arrays below stay in the cache, and are small enough for malloc to use their memory again: larger
# ones come from the kernel page by page, every time, at six times the cost of a running sum.
CHUNK_BYTES = 1 << 18

_WIDE_SPACES = [chr(c).encode() for c in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]


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

    def where(self, chosen_S: np.ndarray) -> "Segments":
        """Those that are chosen, by bool of shape [S]."""
        return Segments(self.start_S[chosen_S], self.end_S[chosen_S], np.append(0, np.cumsum(chosen_S))[self.first_D])


class TextChunk:
    """The texts of D documents as B bytes."""

    def __init__(self, texts: pa.StringArray):
        offset_D = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offset_D[0] : offset_D[-1]]
        self._padded = np.concatenate([data, np.zeros(LANE_BYTES, np.uint8)])
        self.bytes_B = self._padded[: len(data)]
        self.offset_D = offset_D - offset_D[0]  # D + 1 of them

    @cached_property
    def space_B(self) -> np.ndarray:
        """White space as str.split has it."""
        space_B = (self.bytes_B - np.uint8(9) < 5) | (self.bytes_B - np.uint8(28) < 5)
        leads = np.flatnonzero(self.bytes_B >= 0xC2)
        leads = leads[np.isin(self.bytes_B[leads], (0xC2, 0xE1, 0xE2, 0xE3))]
        for wide in _WIDE_SPACES if len(leads) else ():
            found = leads[self.stands_at(wide, leads)]
            for i in range(len(wide)):
                space_B[found + i] = True
        return space_B

    @cached_property
    def words(self) -> Segments:
        """Runs of characters that are no white space."""
        return self._runs(~self.space_B)

    @cached_property
    def newlines(self) -> np.ndarray:
        """Where they stand."""
        return np.flatnonzero(self.bytes_B == 10)

    @cached_property
    def line_words(self) -> np.ndarray:
        """The words that are the first of their line."""
        first = np.searchsorted(self.words.start_S, np.concatenate([self.offset_D[:-1], self.newlines]))
        is_first_S = np.zeros(len(self.words.start_S) + 1, bool)
        is_first_S[first] = True
        return np.flatnonzero(is_first_S[:-1])

    @cached_property
    def lines(self) -> Segments:
        """Runs of characters that are no newline: lines that are not empty."""
        start_S = np.sort(np.concatenate([self.offset_D[:-1], self.newlines + 1]), kind="stable")
        end_S = np.sort(np.concatenate([self.newlines, self.offset_D[1:]]), kind="stable")
        filled_S = start_S < end_S
        return Segments(start_S[filled_S], end_S[filled_S], np.searchsorted(start_S[filled_S], self.offset_D))

    @cached_property
    def lines_with_words(self) -> Segments:
        """Of the lines, those that are not all white space."""
        lines = self.lines
        return lines.where(np.searchsorted(self.words.start_S, lines.start_S) < np.searchsorted(self.words.start_S, lines.end_S))

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
        before_B, behind_B = np.zeros_like(inside_B), np.zeros_like(inside_B)  # is the byte before, behind this one inside too?
        before_B[1:], behind_B[:-1] = inside_B[:-1], inside_B[1:]
        documents = self.offset_D[:-1][self.offset_D[:-1] < self.offset_D[1:]]  # those that have a text
        before_B[documents] = behind_B[documents[1:] - 1] = False
        start_S = np.flatnonzero(inside_B & ~before_B)
        end_S = np.flatnonzero(inside_B & ~behind_B) + 1
        return Segments(start_S, end_S, np.searchsorted(start_S, self.offset_D))

    @cached_property
    def _characters_B(self) -> np.ndarray:
        """Characters that begin before each byte, and in all."""
        characters_B = np.zeros(len(self.bytes_B) + 1, np.int32)
        np.cumsum((self.bytes_B & 0xC0 != 0x80).view(np.uint8), dtype=np.int32, out=characters_B[1:])
        return characters_B

    @property
    def characters_D(self) -> np.ndarray:
        return np.diff(self._characters_B[self.offset_D])

    def characters_S(self, segments: Segments) -> np.ndarray:
        return self._characters_B[segments.end_S] - self._characters_B[segments.start_S]

    def last_characters(self, segments: Segments) -> Segments:
        start_S = segments.end_S - 1
        for _ in range(3):  # bytes that may continue a character
            start_S = start_S - (self.bytes_B[start_S] & 0xC0 == 0x80)
        return Segments(start_S, segments.end_S, segments.first_D)

    def with_letter_S(self, words: Segments) -> np.ndarray:
        """Which words hold a letter; bool.

        Told by the first bytes of characters: ASCII letters, and all from U+00C0 on but U+2000-U+2FFF (punctuation and symbols) and those outside
        the basic plane (emoji).
        """
        bytes_B = self.bytes_B
        letter_B = ((bytes_B | 0x20) - np.uint8(ord("a")) < 26) | ((bytes_B - np.uint8(0xC3) < 0xEE - 0xC3) & (bytes_B != 0xE2))
        return np.logical_or.reduceat(letter_B, words.start_S) if len(words.start_S) else np.zeros(0, bool)  # up to the next word: white space

    def stands_at(self, pattern: bytes, positions: np.ndarray) -> np.ndarray:
        """At which positions the pattern stands, of no more than LANE_BYTES bytes; bool."""
        return np.all([self._padded[positions + i] == byte for i, byte in enumerate(pattern)], axis=0)

    def sketch_S(self, segments: Segments) -> np.ndarray:
        """Of the first bytes and the length: equal for equal bytes, and cheap; uint64."""
        length_S = segments.end_S - segments.start_S
        return hash_segments(self._padded, segments.start_S, np.minimum(length_S, LANE_BYTES)) + length_S.astype(np.uint64)

    def hash_S(self, segments: Segments) -> np.ndarray:
        """Equal for equal bytes; uint64."""
        return hash_segments(self._padded, segments.start_S, segments.end_S - segments.start_S)


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


class WordSet:
    """Words to look for among many."""

    def __init__(self, words: Collection[str]):
        chunk = TextChunk(pa.array(sorted(words), pa.string()))
        each = Segments(chunk.offset_D[:-1], chunk.offset_D[1:], np.arange(len(words) + 1))
        hash_W = chunk.hash_S(each)
        order_W = np.argsort(hash_W)
        self.words = [sorted(words)[row] for row in order_W]
        self.hash_W = hash_W[order_W]
        self._may_be = np.zeros(1 << 16, bool)  # by the lowest 16 bits of a hash
        self._may_be[self.hash_W.astype(np.uint16)] = True

    def find(self, hash_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the segments are one of the words, and for each of them the word's number."""
        found = np.flatnonzero(self._may_be[hash_S.astype(np.uint16)])
        word = np.searchsorted(self.hash_W, hash_S[found]) % max(1, len(self.hash_W))
        exact = self.hash_W[word] == hash_S[found]
        return found[exact], word[exact]


@cache
def word_set(words: frozenset[str]) -> WordSet:
    return WordSet(words)
