"""How well predicted scores decide between recipes or mixtures, against what came true. Lower scores are better (losses).

Shapes: m recipes.
"""

from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

Array = np.ndarray[Any, np.dtype[Any]]


def decision_accuracy(predicted: Array, actual: Array) -> float | None:
    """The share of pairs that `predicted` (m) orders as `actual` (m) does (arXiv 2504.11393, section 2.3).

    A pair that `predicted` ties counts half, one that `actual` ties not at all. None without pairs.
    """
    orders_p, orders_a = pair_orders(predicted), pair_orders(actual)
    decided = orders_a != 0
    return float((orders_p == orders_a)[decided].mean() + 0.5 * (orders_p == 0)[decided].mean()) if decided.any() else None


def accuracy_interval(accuracy: float, recipes: int, confidence: float) -> tuple[float, float]:
    """Between which values the decision accuracy lies for recipes like these, scored as often as these.

    Wilson's interval for a share, with the number of independent pairs that would vary as much. Pairs share recipes: without any relation between the
    scales the share of m (m - 1) / 2 pairs has the variance of Kendall's tau over 4, (2 m + 5) / (18 m (m - 1)) (Kendall 1938), which is that of
    4.5 m (m - 1) / (2 m + 5) independent ones. The noise of seeds is in it, as each recipe's scores hold their own. A bootstrap over recipes is too
    narrow for fewer than eight, and has no width at all when no pair is wrong.
    """
    pairs, z = 4.5 * recipes * (recipes - 1) / (2 * recipes + 5), norm.ppf((1 + confidence) / 2)
    middle = accuracy + z**2 / (2 * pairs)
    half_width = z * (accuracy * (1 - accuracy) / pairs + z**2 / (4 * pairs**2)) ** 0.5
    low, high = ((middle + side * half_width) / (1 + z**2 / pairs) for side in (-1, 1))
    return float(np.clip(low, 0.0, accuracy)), float(np.clip(high, accuracy, 1.0))


def noise_ceiling(score: Array, recipe: Array, seed: Array | None = None) -> float | None:
    """The decision accuracy that the same experiment, done again with as many other seeds, would reach on itself: nothing decides better by merit.

    Scores (n) of recipes 0, 1, ... (n). Where every recipe was scored once with each seed (n), what a seed does to all of them alike cancels in
    comparisons and is taken out. The recipes' true scores are given a normal prior with the variance that theirs has beyond noise (empirical Bayes);
    taken as they were measured, they would differ by too much. None without repetitions.
    """
    counts = np.bincount(recipe)
    mean = np.bincount(recipe, score) / counts
    residual, degrees = score - mean[recipe], len(score) - len(mean)
    of_seed = np.unique(seed, return_inverse=True)[1] if seed is not None else np.arange(len(score))
    in_seed = np.bincount(of_seed)
    if len(in_seed) * len(mean) == len(score) == len({*zip(recipe, of_seed, strict=True)}):
        residual = residual - (np.bincount(of_seed, residual) / in_seed)[of_seed]
        degrees = (len(in_seed) - 1) * (len(mean) - 1)
    if degrees < 1 or len(mean) < 2:
        return None
    variance = residual @ residual / degrees / counts  # of each mean
    true_variance = max(float(mean.var(ddof=1) - variance.mean()), 0.0)
    if not variance.any():
        return 1.0
    reliability = true_variance / (true_variance + variance)
    shrunk = mean.mean() + reliability * (mean - mean.mean())
    first, second = np.triu_indices(len(mean), k=1)
    again = ((1 + reliability) * variance)[first] + ((1 + reliability) * variance)[second]
    order = pair_orders(mean)
    agreement = norm.cdf(order * (shrunk[first] - shrunk[second]) / again**0.5)[order != 0]
    return float(agreement.mean()) if len(agreement) else None


def pair_orders(scores: Array) -> Array:
    """(..., m (m - 1) / 2) of scores (..., m): the sign of the difference of each pair, the first minus the second."""
    first, second = np.triu_indices(scores.shape[-1], k=1)
    return np.sign(scores[..., first] - scores[..., second])


def pearson(predicted: Array, actual: Array) -> float | None:
    """None for fewer than three, or when one side is all alike."""
    if len(actual) < 3 or not np.ptp(predicted) or not np.ptp(actual):
        return None
    return float(np.corrcoef(predicted, actual)[0, 1])


def spearman(predicted: Array, actual: Array) -> float | None:
    """Pearson of ranks, ties at their mean rank. None as for `pearson`."""
    return pearson(rankdata(predicted), rankdata(actual))


def regret(predicted: Array, actual: Array) -> float:
    """What the choice of the best predicted loses, in the unit of `actual`, against the best; the mean over those predicted best alike."""
    return float(actual[predicted == predicted.min()].mean() - actual.min())


def coverage(low: Array, high: Array, actual: Array) -> float:
    """The share of `actual` (m) that lies in its interval."""
    return float(((low <= actual) & (actual <= high)).mean())
