"""MinHash signatures (Broder 1997) of word n-grams, in NumPy over whole shards.

A document is the set of its n-grams of words. Under a random permutation of all n-grams, two documents have the same smallest one with
probability equal to their Jaccard similarity J. A signature holds the smallest hashes under K permutations: the share of equal entries
estimates J with standard error sqrt(J (1 - J) / K).

Every hash is integer arithmetic modulo 2^64 or 2^32: the same on all platforms and with all versions of the libraries. 32 bits are enough for an
n-gram, because only equal *minima* count: two documents of m n-grams each have the same minimum by chance with probability about m / 2^32.

Shape suffixes: D documents, W words, S shingles (n-grams), K permutations.
"""

import numpy as np
import pyarrow as pa

from tasks.steps.segment_hashes import mix
from tasks.steps.segments import chunks

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def signatures(texts: list[str] | pa.ChunkedArray, ngram_words: int, num_permutations: int) -> np.ndarray:
    """MinHash signatures.

    A text with fewer than `ngram_words` words is one shingle of all of its words; an empty text is the shingle of no words, so that all
    empty texts are similar to each other alone.

    Args:
        texts: in one case and composition (`tasks/steps/normalised_text.py`); words are what stands between white space.

    Returns:
        uint32, shape (texts, permutations), in C order.
    """
    texts = pa.chunked_array([pa.array(texts, pa.string())]) if isinstance(texts, list) else texts
    factors_K, offsets_K = _permutations(num_permutations)
    signatures_DK = np.empty((len(texts), num_permutations), np.uint32)
    done = 0
    for chunk in chunks(texts):  # small, so that the hashes stay in the processor's cache through all permutations
        shingles_S, first_D = _shingles(chunk.hash_S(chunk.words), chunk.words.count_D, ngram_words)
        permuted_S = np.empty_like(shingles_S)
        for k in range(num_permutations):
            np.multiply(shingles_S, factors_K[k], out=permuted_S)
            np.add(permuted_S, offsets_K[k], out=permuted_S)
            signatures_DK[done : done + len(first_D), k] = np.minimum.reduceat(permuted_S, first_D)
        done += len(first_D)
    return signatures_DK


def similarity(signatures_DK: np.ndarray, others_DK: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarity of documents, row by row; shape (documents,)."""
    return (signatures_DK == others_DK).mean(axis=1, dtype=np.float64)


def _shingles(hashes_W: np.ndarray, counts_D: np.ndarray, ngram_words: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all n-grams of a block's texts, uint32 (shingles,), and the index of each text's first."""
    slots_D = np.maximum(counts_D, ngram_words)  # a short text is filled up with zeros
    ends_D = np.cumsum(slots_D)
    words = np.zeros(ends_D[-1], np.uint64)
    shift_D = ends_D - slots_D - (np.cumsum(counts_D) - counts_D)
    words[np.arange(len(hashes_W)) + np.repeat(shift_D, counts_D)] = hashes_W

    num = len(words) - ngram_words + 1
    rolled = words[:num].copy()
    for k in range(1, ngram_words):
        rolled *= _GOLDEN
        rolled += words[k : k + num]
    crosses = np.zeros(num, bool)  # an n-gram of two texts
    crosses[(ends_D[:-1, None] - np.arange(1, ngram_words)).ravel()] = True
    first_D = ends_D - slots_D - (ngram_words - 1) * np.arange(len(ends_D))
    return (mix(rolled[~crosses]) >> np.uint64(32)).astype(np.uint32), first_D


def _permutations(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and offsets of the permutations x -> factor x + offset modulo 2^32."""
    random = mix(np.arange(1, 2 * num + 1, dtype=np.uint64) * _GOLDEN).astype(np.uint32)
    return random[:num] | np.uint32(1), random[num:]
