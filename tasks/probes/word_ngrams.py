"""Word n-grams of texts as hashes, alike for items and for a corpus, so that they can be looked for in one another.

Shape suffixes: S words of a chunk of text, C positions where an n-gram begins.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.steps.normalised_text import normalised
from tasks.steps.segments import TextChunk, chunks

_MIX = np.uint64(0xD6E8FEB86659FD93)  # odd: multiplication by it is a permutation


class Ngrams(NamedTuple):
    hash_C: np.ndarray  # uint64
    word_C: np.ndarray  # index of the first word


def bare_texts(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """In lower case and Unicode's NFC, letters and digits only, with spaces between words. In a script without spaces, a word is what stands between
    two punctuation marks."""
    import polars as pl

    bare = pl.Series(normalised(texts), dtype=pl.String).str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ")
    return pa.chunked_array([bare.to_arrow()]).cast(pa.string())


def text_chunks(texts: pa.ChunkedArray) -> Iterator[TextChunk]:
    return chunks(bare_texts(texts))


def ngrams(chunk: TextChunk, num_words: int) -> Ngrams:
    """All of a chunk's documents; none crosses from one to the next."""
    words = chunk.words
    hash_S = chunk.hash_S(words)
    num_starts = max(0, len(hash_S) - num_words + 1)
    hash_C = np.zeros(num_starts, np.uint64)
    for n in range(num_words):
        hash_C = hash_C * _MIX + hash_S[n : n + num_starts]
    document_S = words.document_S
    word_C = np.flatnonzero(document_S[:num_starts] == document_S[num_words - 1 :])
    return Ngrams(hash_C[word_C], word_C)


def words_at(chunk: TextChunk, first: int, num_words: int) -> str:
    """With single spaces."""
    start, end = chunk.words.start_S[first], chunk.words.end_S[first + num_words - 1]
    return " ".join(chunk.bytes_B[start:end].tobytes().decode().split())
