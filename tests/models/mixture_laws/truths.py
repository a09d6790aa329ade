"""Simulated studies of mixtures, with the truth beside them."""

from collections.abc import Callable, Sequence

import numpy as np

from models import decisions
from models.laws.law import Array
from models.mixture_laws.law import MixtureRuns

Truth = Callable[[Array], Array]  # weights (n, d) -> loss (n)
CONCENTRATION = 0.7  # of the Dirichlet distribution that mixtures come from: corners as well as middles
SMALLEST_SHARE = 0.02  # smaller ones are 0, as in studies


def exponential(weights_nd: Array) -> Array:
    return 2 + np.exp(weights_nd @ np.linspace(-3, 0.5, weights_nd.shape[1]))


def linear(weights_nd: Array) -> Array:
    return 3 + weights_nd @ np.linspace(-1, 1, weights_nd.shape[1])


def power(weights_nd: Array) -> Array:
    """Mostly of the first domain, a fifth of the second."""
    return 2 + (weights_nd[:, 0] + 0.2 * weights_nd[:, 1] + 0.02) ** -0.3


def threshold(weights_nd: Array) -> Array:
    return 4 - 1.0 * (weights_nd[:, 0] > 0.25)


def indifferent(weights_nd: Array) -> Array:
    return np.full(len(weights_nd), 2.5)


def simulated(runs: int, domains: int, truths: Sequence[Truth], noise: float = 0.01, seed: int = 0) -> tuple[MixtureRuns, Array, Array]:
    """Runs whose noise is that share of a loss' spread; 200 further mixtures (m, d) and their true losses (m, t)."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(domains, CONCENTRATION), runs + 200)
    weights[weights < SMALLEST_SHARE] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    losses = np.stack([truth(weights) for truth in truths], axis=1)
    noisy = losses + noise * losses.std(axis=0) * rng.standard_normal(losses.shape)
    names = tuple(f"domain_{d}" for d in range(domains)), tuple(f"loss_{t}" for t in range(len(truths)))
    return MixtureRuns(*names, weights[:runs], noisy[:runs]), weights[runs:], losses[runs:]


def rank_correlation(predicted_n: Array, true_n: Array) -> float:
    """Spearman's; 0 where a law predicts the same for all."""
    return decisions.spearman(predicted_n, true_n) or 0.0
