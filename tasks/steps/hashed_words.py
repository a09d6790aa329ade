"""Words of documents as 64-bit hashes: in lower case, runs of punctuation words of their own."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.steps.segments import chunks


class HashedWords(NamedTuple):
    """Of some documents, one after another. S words, D documents."""

    hash_S: np.ndarray  # equal for equal words; its low bits alone are not random
    document_S: np.ndarray
    count_D: np.ndarray

    def by_document(self) -> list[np.ndarray]:
        return np.split(self.hash_S, np.cumsum(self.count_D)[:-1])


def hashed_words(texts: pa.ChunkedArray) -> Iterator[HashedWords]:
    """Piece by piece; no document is cut."""
    import polars as pl

    prepared = pl.Series(pl.from_arrow(texts), dtype=pl.String).str.to_lowercase().str.replace_all(r"([^\w\s]+)", " $1 ")
    for chunk in chunks(pa.chunked_array([prepared.to_arrow().cast(pa.large_string())])):
        words = chunk.words
        yield HashedWords(chunk.hash_S(words), words.document_S, words.count_D)
