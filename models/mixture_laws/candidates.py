"""Feasible mixtures to choose from: those observed, the anchor, and samples that reach from the centre to the corners.

Shapes: d domains, m mixtures.
"""

import numpy as np
from scipy.spatial.distance import cdist

from models.laws.law import Array
from models.mixture_laws.feasible import FeasibleMixtures

CONCENTRATIONS = (0.3, 1.0, 3.0, 10.0, 30.0)  # of Dirichlet samples, in runs' worth of tokens per domain: from corners to near the mean


def candidates(feasible: FeasibleMixtures, observed_md: Array, count: int, rng: np.random.Generator) -> Array:
    """(m, d): all observed mixtures and the anchor, moved into the bounds, and `count` samples.

    A third of the samples is spread around the anchor, a third around even shares, a third lies between two observed mixtures.
    """
    anchor_d = feasible.anchor_d
    third, num_domains = count // 3, len(anchor_d)
    even_d = np.full(num_domains, 1 / num_domains)
    samples = [
        dirichlet(mean_d, concentration, 1 + third // len(CONCENTRATIONS), rng) for mean_d in (anchor_d, even_d) for concentration in CONCENTRATIONS
    ]
    one, other = (observed_md[rng.integers(len(observed_md), size=third)] for _ in range(2))
    place = rng.random((third, 1))
    everything_md = np.concatenate([observed_md, anchor_d[None], *samples, place * one + (1 - place) * other])
    return feasible.nearest(everything_md)


def around(centres_md: Array, step: float, feasible: FeasibleMixtures, rng: np.random.Generator) -> Array:
    """One neighbour (m, d) of each: up to `step` of all tokens move to a sparse random mixture, or of one domain's tokens to another domain."""
    num_mixtures, num_domains = centres_md.shape
    moved_m = step * rng.random((num_mixtures, 1))
    targets_md = dirichlet(np.full(num_domains, 1 / num_domains), CONCENTRATIONS[0], num_mixtures, rng)
    giver_m, taker_m = rng.integers(num_domains, size=(2, num_mixtures))
    given_m = np.minimum(centres_md[np.arange(num_mixtures), giver_m], moved_m[:, 0])
    exchanged_md = centres_md + given_m[:, None] * (np.eye(num_domains)[taker_m] - np.eye(num_domains)[giver_m])
    exchanges_m = rng.random((num_mixtures, 1)) < 0.5
    return feasible.nearest(np.where(exchanges_m, exchanged_md, (1 - moved_m) * centres_md + moved_m * targets_md))


def dirichlet(mean_d: Array, concentration: float, count: int, rng: np.random.Generator) -> Array:
    """(count, d) samples with this mean; `concentration` is the sum of the parameters over their number."""
    parameters_d = np.maximum(mean_d * len(mean_d) * concentration, 1e-3)  # below, samples underflow to no share anywhere
    gammas = rng.standard_gamma(parameters_d, size=(count, len(mean_d)))
    sums = gammas.sum(axis=1, keepdims=True)
    return np.where(sums > 1e-300, gammas / np.maximum(sums, 1e-300), mean_d)


def distances(weights_md: Array, others_nd: Array) -> Array:
    """Total variation (m, n): the share of tokens that two mixtures don't have in common."""
    return cdist(weights_md, others_nd, "cityblock") / 2
