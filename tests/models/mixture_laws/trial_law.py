"""A simulated truth of mixtures, and a law that is quick and knows how sure it is: for tests of what is built on laws.

Shapes: n runs, d domains, t losses, m mixtures, b draws.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from models.laws.law import Array
from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.law import FittedMixtureLaw, MixtureLaw, MixtureRuns

LENGTH = 0.7  # in square roots of shares, of which mixtures are at most sqrt(2) apart
NUGGET = 1e-4  # noise over signal variance


class TrialLaw(MixtureLaw):
    """A Gaussian process with a constant mean and an RBF kernel over square roots of shares, of fixed length: only its variance is fitted."""

    name = "trial"

    def fit(self, runs: MixtureRuns, target_t: Array) -> "FittedTrialLaw":
        target_n = runs.losses_nt @ target_t
        kernel_nn = kernel(runs.weights_nd, runs.weights_nd) + NUGGET * np.eye(len(target_n))
        explained_n = np.linalg.solve(kernel_nn, target_n - target_n.mean())
        variance = float((target_n - target_n.mean()) @ explained_n) / len(target_n)
        return FittedTrialLaw(runs.weights_nd, float(target_n.mean()), explained_n, np.linalg.inv(kernel_nn), variance)


@dataclass
class FittedTrialLaw(FittedMixtureLaw):
    observed_nd: Array
    mean: float
    explained_n: Array
    precision_nn: Array
    variance: float

    def predict(self, weights_md: Array) -> Array:
        return self.mean + kernel(weights_md, self.observed_nd) @ self.explained_n

    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        to_runs = kernel(weights_md, self.observed_nd)
        left_mm = kernel(weights_md, weights_md) - to_runs @ self.precision_nn @ to_runs.T + 1e-8 * np.eye(len(weights_md))
        root = np.linalg.cholesky(self.variance * left_mm)
        return self.predict(weights_md) + np.random.default_rng(seed).standard_normal((count, len(weights_md))) @ root.T


def kernel(weights_md: Array, others_nd: Array) -> Array:
    one, other = np.sqrt(np.maximum(weights_md, 0)), np.sqrt(np.maximum(others_nd, 0))
    return np.exp(-cdist(one, other, "sqeuclidean") / (2 * LENGTH**2))


@dataclass(frozen=True)
class Truth:
    """losses_t(w) = 2 + sum_j gains_tj exp(-w_j / scale_j): each domain helps, with diminishing returns."""

    gains_td: Array
    scale_d: Array

    @classmethod
    def of(cls, num_domains: int, num_losses: int, seed: int) -> "Truth":
        rng = np.random.default_rng(seed)
        return cls(rng.exponential(1.0, (num_losses, num_domains)), rng.uniform(0.05, 0.5, num_domains))

    def losses(self, weights_md: Array) -> Array:
        return 2 + np.exp(-weights_md / self.scale_d) @ self.gains_td.T


def keeps_to(feasible: FeasibleMixtures, weights_d: Array) -> bool:
    """To rounding."""
    between = (weights_d >= feasible.low_d).all() and (weights_d <= feasible.high_d).all()
    near = feasible.max_kl is None or feasible.divergence(weights_d[None])[0] <= feasible.max_kl + 1e-9
    return bool(between and near and abs(weights_d.sum() - 1) <= 1e-12)


def simulated(
    num_runs: int = 64, num_domains: int = 5, num_losses: int = 2, noise_sd: float = 0.0, seed: int = 0
) -> tuple[MixtureRuns, tuple[str, ...], Truth]:
    rng = np.random.default_rng(seed)
    truth = Truth.of(num_domains, num_losses, seed)
    weights_nd = rng.dirichlet(np.ones(num_domains), size=num_runs)
    losses_nt = truth.losses(weights_nd) + noise_sd * rng.standard_normal((num_runs, num_losses))
    domains, names = tuple("abcdefghijklmnopqrstuvwxyz"[:num_domains]), tuple(f"loss_{i}" for i in range(num_losses))
    return MixtureRuns(domains, names, weights_nd, losses_nt), tuple(map(str, range(num_runs))), truth
