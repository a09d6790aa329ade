"""Repeated lines, paragraphs and word n-grams inside documents, found by sorting hashes.

Shape suffixes: S segments of a batch, C candidates among them, G groups of equal candidates, D documents.
"""

from typing import NamedTuple

import numpy as np

from tasks.steps.segments import Segments, TextChunk

_MIX = np.uint64(0xD6E8FEB86659FD93)  # odd: multiplication by it is a permutation


class Groups(NamedTuple):
    """Candidates with equal keys."""

    member_C: np.ndarray  # the candidates' positions, group after group
    start_G: np.ndarray  # where each group begins in `member_C`
    count_G: np.ndarray
    first_G: np.ndarray  # each group's first position


def group_equal(position_C: np.ndarray, key_C: np.ndarray) -> Groups:
    order_C = np.argsort(key_C)
    sorted_C = key_C[order_C]
    start_G = np.flatnonzero(np.concatenate([np.ones(min(1, len(key_C)), bool), sorted_C[1:] != sorted_C[:-1]]))
    member_C = position_C[order_C]
    first_G = np.minimum.reduceat(member_C, start_G) if len(start_G) else member_C
    return Groups(member_C, start_G, np.diff(start_G, append=len(key_C)), first_G)


def repeated(chunk: TextChunk, segments: Segments) -> np.ndarray:
    """Which segments are equal to an earlier one of their document; bool of shape [S]."""
    keys_S = chunk.hash_S(segments) + segments.document_S.astype(np.uint64) * _MIX
    groups = group_equal(np.arange(len(keys_S)), keys_S)
    repeated_S = np.ones(len(keys_S), bool)
    repeated_S[groups.first_G] = False
    return repeated_S


def sum_by_document(value_S: np.ndarray, segments: Segments) -> np.ndarray:
    sums_S = np.zeros(len(value_S) + 1, np.int64)
    np.cumsum(value_S, out=sums_S[1:])
    return np.diff(sums_S[segments.first_D])


class NgramCharacters(NamedTuple):
    """By n, for each document: characters in all occurrences of the most frequent n-gram that has at least two (of equally frequent ones, the
    longest); characters in words that a second or later occurrence of any n-gram covers."""

    top_D: dict[int, np.ndarray]
    repeated_D: dict[int, np.ndarray]


def repeated_ngrams(chunk: TextChunk, top: set[int], covered: set[int]) -> NgramCharacters:
    """Counts repeated word n-grams for every n in `top` or `covered`.

    An n-gram can repeat only where the two (n-1)-grams in it do, so each n looks only at what n - 1 left: on ordinary text that is little after
    the shortest, on any text it is one sort per n.
    """
    words = chunk.words
    document_S, last_S = words.document_S, np.repeat(words.first_D[1:], words.count_D)
    word_S = chunk.hash_S(words)
    sums_S = np.concatenate([[0], np.cumsum(chunk.characters_S(words))])
    result = NgramCharacters({}, {})
    key_S = document_S.astype(np.uint64) * _MIX  # of the n-gram that begins here
    position_C = np.arange(len(word_S))
    for n in range(1, max(top | covered, default=0) + 1):
        key_S = key_S[: len(word_S) - n + 1] * _MIX + word_S[n - 1 :]
        position_C = position_C[position_C + n <= last_S[position_C]]
        if n < min(top | covered):
            continue
        groups = group_equal(position_C, key_S[position_C])
        twice_G = groups.count_G >= 2
        if n in top:
            first_G, count_G = groups.first_G[twice_G], groups.count_G[twice_G]
            length_G = sums_S[first_G + n] - sums_S[first_G] + n - 1  # with a space between words
            result.top_D[n] = _most_frequent(document_S[first_G], count_G, length_G, len(words.count_D))
        again_C = np.repeat(twice_G, groups.count_G)
        if n in covered:
            later_C = groups.member_C[again_C]
            later_C = later_C[later_C != np.repeat(groups.first_G[twice_G], groups.count_G[twice_G])]
            result.repeated_D[n] = sum_by_document(np.where(_cover(later_C, n, len(word_S)), np.diff(sums_S), 0), words)
        position_C = _both_repeat(groups.member_C[again_C], len(word_S))
    return result


def _most_frequent(document_G: np.ndarray, count_G: np.ndarray, length_G: np.ndarray, num_documents: int) -> np.ndarray:
    """Count x length of each document's most frequent group, the longest where several are."""
    order_G = np.lexsort((length_G, count_G, document_G))
    top_D = np.zeros(num_documents, np.int64)
    top_D[document_G[order_G]] = (count_G * length_G)[order_G]  # the last one written to a document stays
    return top_D


def _cover(position_C: np.ndarray, n: int, num_words: int) -> np.ndarray:
    """Which words lie in an n-gram that begins at one of the positions; bool of shape [S]."""
    change_S = np.zeros(num_words + 1, np.int64)
    change_S[position_C] += 1
    change_S[position_C + n] -= 1  # positions are distinct
    return np.cumsum(change_S[:-1]) > 0


def _both_repeat(position_C: np.ndarray, num_words: int) -> np.ndarray:
    """The positions of which the next one is among them too, ascending."""
    repeats_S = np.zeros(num_words + 1, bool)
    repeats_S[position_C] = True
    return np.flatnonzero(repeats_S[:-1] & repeats_S[1:])
