"""When two texts are the same: their form in Unicode NFC, lower case, with single spaces; and the digest of that."""

import hashlib

import numpy as np
import pyarrow as pa

DIGEST = np.dtype("S16")  # 128 bits: among 10^12 texts, two different ones share a digest with a probability below 10^-14

# Texts of other characters alone (up to Latin Extended-B; punctuation and currency signs) are NFC already.
_MAY_CHANGE = "[^\x00-\u02ff\u2002-\u20cf]"


def folded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each text in NFC and lower case. White space stays."""
    import polars as pl

    text = pl.Series(pl.from_arrow(texts))
    # Polars, because unicodedata and utf8proc (Arrow's) take quadratic time on a long run of combining characters.
    rows = text.str.contains(_MAY_CHANGE).arg_true()
    if len(rows):
        text = text.scatter(rows, text.gather(rows).str.normalize("NFC"))
    return pa.chunked_array([text.str.to_lowercase().to_arrow()]).cast(pa.string())


def normalised(texts: pa.ChunkedArray) -> list[str]:
    """Each text in NFC, lower-cased, its words (as `str.split` cuts them: at Unicode white space) joined by single spaces."""
    return [" ".join(text.split()) for text in folded(texts).to_pylist()]


def digests(normalised_texts: list[str]) -> np.ndarray:
    """BLAKE2b of each text: shape (texts,) of DIGEST."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=DIGEST.itemsize).digest() for text in normalised_texts)
    return np.frombuffer(joined, DIGEST)
