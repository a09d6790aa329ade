"""Runs that have diverged: right or refused, they enter no law."""

import numpy as np

from models.laws.law import Array

# A run whose loss is this much above the best of its setting has diverged. Learning rate and batch, badly chosen, cost up to about a fifth (arXiv
# 2503.04715's runs: none between a fifth and two thirds); a run that does not learn ends at several times the best.
DIVERGED = 0.5


def diverged(loss: Array, setting: Array) -> Array:
    """(n) which runs are that far above the best run of their setting (n; any labels)."""
    _, place = np.unique(setting, axis=0, return_inverse=True)
    best = np.full(place.max(initial=-1) + 1, np.inf)
    np.minimum.at(best, place.ravel(), loss)
    return loss > (1 + DIVERGED) * best[place.ravel()]
