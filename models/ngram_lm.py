"""A word n-gram language model with interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999, equations 26 to 29; the model that KenLM
estimates, Heafield et al. 2013), as sorted arrays of 64-bit hashes: estimated and asked without a Python loop over words.

Two n-grams of the same order get the same hash with a probability below 1e-6 for five million of them.

Shape suffixes: T words of a text with its beginning and end, G different n-grams of an order, C different contexts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_MIX = np.uint64(0xD6E8FEB86659FD93)  # odd: multiplication by it is a permutation
BEGIN, END, UNKNOWN = (np.uint64(n * 0x9E3779B97F4A7C15 % (1 << 64)) for n in (3, 5, 7))
FALLBACK = np.array([0.5, 1.0, 1.5])  # discounts where counts of counts don't give any, as KenLM's --discount_fallback


class Order(NamedTuple):
    """The n-grams of one length."""

    key_G: np.ndarray  # sorted
    share_G: np.ndarray  # (c(g) - D(c(g))) / c(context)
    context_C: np.ndarray  # keys of the (n-1)-grams before, sorted
    backoff_C: np.ndarray  # what is left for the shorter n-grams: gamma


@dataclass(frozen=True)
class NgramModel:
    vocabulary: np.ndarray  # hashes of the known words, sorted; the end of a text and the unknown word are beside them
    orders: tuple[Order, ...]  # unigrams first

    def log_probabilities(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        """log p of each word of each text after those before it in the text, and of the text's end; natural, float64, one text behind the other.

        Args:
            texts: hashes of the words of each, uint64.
        """
        ids_T, place_T = self.joined(texts)
        probability_T = np.full(len(ids_T), 1 / (len(self.vocabulary) + 2))
        context_T, active = np.zeros(len(ids_T), np.uint64), np.flatnonzero(place_T > 0)  # beginnings are given
        for n, order in enumerate(self.orders, 1):
            key_T = context_T * _MIX + ids_T
            at = _find(order.context_C, context_T[active])
            known = (at >= 0) & (place_T[active] >= n - 1)  # where a context is unknown, or begins before the text, longer ones are too
            at, active = at[known], active[known]
            found = _find(order.key_G, key_T[active])
            share = np.where(found >= 0, order.share_G[found], 0.0)
            probability_T[active] = share + order.backoff_C[at] * probability_T[active]
            context_T = np.concatenate([[_BEFORE], key_T[:-1]])
        return np.log(probability_T[place_T > 0])

    def joined(self, texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The words of all texts, each between its beginning and its end, rare ones unknown; and the place of each in its text."""
        length_N = np.array([len(text) + 2 for text in texts], np.int64)
        end_N = np.cumsum(length_N)
        place_T = np.arange(end_N[-1] if len(end_N) else 0) - np.repeat(end_N - length_N, length_N)
        ids_T = np.full(len(place_T), END)
        ids_T[place_T == 0] = BEGIN
        inside_T = (place_T > 0) & (place_T < np.repeat(length_N, length_N) - 1)
        words = np.concatenate([*texts, np.empty(0, np.uint64)])
        ids_T[inside_T] = np.where(_find(self.vocabulary, words) >= 0, words, UNKNOWN)
        return ids_T, place_T


_BEFORE = np.uint64(0)  # stands for a context that begins before the text


def estimate(texts: Sequence[np.ndarray], order: int, min_word_count: int) -> NgramModel:
    """Args:
    texts: hashes of the words of each text, uint64.
    min_word_count: rarer words are all the unknown word.
    """
    word_V, count_V = np.unique(np.concatenate([*texts, np.empty(0, np.uint64)]), return_counts=True)
    model = NgramModel(word_V[count_V >= min_word_count], ())
    ids_T, place_T = model.joined(texts)
    keys, contexts = [], [np.zeros(len(ids_T), np.uint64)]
    for _ in range(order):
        keys.append(contexts[-1] * _MIX + ids_T)
        contexts.append(np.concatenate([[_BEFORE], keys[-1][:-1]]))
    orders = []
    for n in range(1, order + 1):
        inside_T = place_T >= max(n - 1, 1)  # the beginning itself is never predicted
        key_G, first_G, count_G = np.unique(keys[n - 1][inside_T], return_index=True, return_counts=True)
        if n < order:  # counts of different words before, but where nothing can stand before
            longer_T = place_T >= n
            _, of_longer = np.unique(keys[n][longer_T], return_index=True)
            suffix, left_count = np.unique(keys[n - 1][longer_T][of_longer], return_counts=True)
            at = _find(suffix, key_G)
            at_start_G = (place_T[inside_T] == n - 1)[first_G]
            count_G = np.where(at_start_G | (at < 0), count_G, np.append(left_count, 0)[at])
        orders.append(_smoothed(key_G, count_G, contexts[n - 1][inside_T][first_G]))
    return NgramModel(model.vocabulary, tuple(orders))


def _smoothed(key_G: np.ndarray, count_G: np.ndarray, context_G: np.ndarray) -> Order:
    kind_G = np.minimum(count_G, 3) - 1
    discount = _discounts(count_G)
    context_C, of_G = np.unique(context_G, return_inverse=True)
    total_C = np.bincount(of_G, count_G, len(context_C))
    left_C = np.bincount(of_G, discount[kind_G], len(context_C))
    return Order(key_G, (count_G - discount[kind_G]) / total_C[of_G], context_C, left_C / total_C)


def _discounts(count_G: np.ndarray) -> np.ndarray:
    """D_1, D_2, D_3+ by counts of counts: D_i = i - (i + 1) Y t_(i+1) / t_i, Y = t_1 / (t_1 + 2 t_2)."""
    t = np.bincount(np.minimum(count_G, 5), minlength=6)[1:5].astype(float)
    if not t.all():
        return FALLBACK
    y = t[0] / (t[0] + 2 * t[1])
    i = np.arange(1, 4)
    discounts = i - (i + 1) * y * t[1:] / t[:-1]
    return discounts if ((discounts > 0) & (discounts <= i)).all() else FALLBACK


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The place of each key, -1 where it is not."""
    if not len(sorted_keys):
        return np.full(len(keys), -1)
    at = np.searchsorted(sorted_keys, keys).clip(max=len(sorted_keys) - 1)
    return np.where(sorted_keys[at] == keys, at, -1)
