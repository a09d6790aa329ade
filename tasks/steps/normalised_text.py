"""When two texts are the same: their form in Unicode NFC, lower case, with single spaces; and the digest of that."""

import hashlib
import re

import numpy as np
import pyarrow as pa

DIGEST = np.dtype("S16")  # 128 bits: among 10^12 texts, two different ones share a digest with a probability below 10^-14

# Texts of other characters alone (up to Latin Extended-B; punctuation and currency signs) are NFC already.
_MAY_CHANGE = re.compile("[^\x00-\u02ff\u2002-\u20cf]")


def normalised(texts: pa.ChunkedArray) -> list[str]:
    """Each text in NFC, lower-cased, its words (as `str.split` cuts them: at Unicode white space) joined by single spaces."""
    import polars as pl

    composed: list[str] = texts.to_pylist()
    rows = [row for row, text in enumerate(composed) if not text.isascii() and _MAY_CHANGE.search(text)]
    # Polars, because unicodedata and utf8proc (Arrow's) take quadratic time on a long run of combining characters.
    for row, text in zip(rows, pl.Series([composed[row] for row in rows], dtype=pl.String).str.normalize("NFC"), strict=True):
        composed[row] = text
    return [" ".join(text.lower().split()) for text in composed]


def digests(normalised_texts: list[str]) -> np.ndarray:
    """BLAKE2b of each text: shape (texts,) of DIGEST."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=DIGEST.itemsize).digest() for text in normalised_texts)
    return np.frombuffer(joined, DIGEST)
