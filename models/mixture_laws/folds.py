"""Which runs are held out together: at random, or the mixtures farthest from all others' centre.

Shapes: n runs, d domains.
"""

import numpy as np

from models.laws.law import Array

FOLDS = ((100, 5), (0, 8))  # of so many mixtures or more, so many
OUTER_SHARE = 1 / 3  # of the mixtures, those nearest to a corner, are predicted from the others


def distinct_mixtures(weights_nd: Array) -> Array:
    """(n) the same number for runs of the same mixture: seeds of one mixture are never on both sides of a split."""
    return np.unique(weights_nd, axis=0, return_inverse=True)[1].reshape(-1)


def interleaved_folds(weights_nd: Array) -> list[Array]:
    """Held-out runs (n, boolean) of each fold; every run is held out once. Does not depend on the order of runs.

    Few runs are held out at a time when there are few: what a law loses with an eighth of 32 runs would be laid at its door.
    """
    mixture_n = distinct_mixtures(weights_nd)
    count = mixture_n.max() + 1
    folds = next(folds for fewest, folds in FOLDS if count >= fewest)
    fold_of_mixture = np.random.default_rng(0).permutation(count) % min(folds, count)
    return [fold_of_mixture[mixture_n] == fold for fold in range(min(folds, count))]


def outward_fold(weights_nd: Array) -> Array:
    """Held-out runs (n, boolean): the third of the mixtures farthest from the centre of all, in Hellinger's distance."""
    mixture_n = distinct_mixtures(weights_nd)
    roots = np.sqrt(weights_nd)
    distance_n = np.linalg.norm(roots - roots.mean(axis=0), axis=1)
    distances = np.zeros(mixture_n.max() + 1)
    distances[mixture_n] = distance_n
    outer = np.argsort(-distances, kind="stable")[: max(1, round(OUTER_SHARE * len(distances)))]
    return np.isin(mixture_n, outer)
