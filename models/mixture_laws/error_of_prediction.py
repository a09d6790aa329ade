"""How far a law's predictions are from the loss of mixtures that it has not seen, learned from cross-validation.

e(w) ~ Gaussian process with mean 0 and standard deviation s (v(w) / mean v)^(kappa / 2), where v(w), between 0 and 1, says how little the runs say about w:
the variance that a Gaussian process with kernel exp(-distance / typical distance) has left there. Near mixtures share a part rho of their error, by the same
kernel. Distances are Hellinger's. kappa and rho maximise the likelihood of the residuals out of fold; s then makes nine of ten of them lie in their 90% interval
(split-conformal, arXiv 1604.04173: right on average whatever their distribution). So the law's misfit is in it, and not only its parameters' uncertainty. Where several seeds of one mixture were trained, their scatter is subtracted: that is the noise of a run, not the law's error.

Shapes: n runs, d domains, m mixtures, b draws.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.stats import norm

from models.laws.law import Array
from models.mixture_laws.folds import distinct_mixtures

JITTER = 1e-6
CONFIDENCE = 0.9  # at which intervals are right
SHARED_PARTS = (0.0, 0.25, 0.5, 0.75, 0.9)  # rho; with 1, errors would be one smooth surface
GROWTHS = (0.0, 0.5, 1.0, 2.0)  # kappa: from not at all with the distance from the runs to faster than v
SMALLEST_PART = 0.05  # of the residuals' variance that is the law's, however much the seeds scatter


@dataclass(frozen=True)
class ErrorOfPrediction:
    observed_nd: Array  # distinct mixtures
    typical_distance: float
    typical_remoteness: float  # mean v of runs out of fold
    standard_deviation: float  # s, in the loss' unit
    noise: float | None  # standard deviation of one run's loss between seeds; None where no mixture was trained twice
    growth: float  # kappa
    shared_part: float  # rho

    @classmethod
    def of(cls, weights_nd: Array, loss_n: Array, residual_n: Array, folds: list[Array]) -> "ErrorOfPrediction":
        """From residuals out of fold (n), in the loss' unit."""
        observed_nd = np.unique(weights_nd, axis=0)
        typical_distance = float(np.median(_distances(observed_nd, observed_nd)[np.triu_indices(len(observed_nd), 1)]))
        remoteness_n = np.empty(len(weights_nd))
        for held_n in folds:
            remoteness_n[held_n] = _remoteness(weights_nd[held_n], np.unique(weights_nd[~held_n], axis=0), typical_distance)
        grown_n = {growth: (remoteness_n / remoteness_n.mean()) ** growth for growth in GROWTHS}
        kernel_nn = np.exp(-_distances(weights_nd, weights_nd) / typical_distance)
        tried = [(_profile_likelihood(residual_n, grown_n[growth], part, kernel_nn), growth, part) for growth, part in product(GROWTHS, SHARED_PARTS)]
        _, growth, shared_part = max(tried)
        variance = _central_spread(residual_n / np.sqrt(grown_n[growth])) ** 2
        noise = noise_between_seeds(weights_nd, loss_n)
        of_the_law = max(variance - (noise or 0.0) ** 2, SMALLEST_PART * variance)
        return cls(observed_nd, typical_distance, float(remoteness_n.mean()), float(np.sqrt(of_the_law)), noise, growth, shared_part)

    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        """(b, m) of the error, jointly over mixtures; the same for the same mixture."""
        mixtures_ud, which_m = np.unique(weights_md, axis=0, return_inverse=True)
        shared_uu = np.exp(-_distances(mixtures_ud, mixtures_ud) / self.typical_distance)
        own_part = max(1 - self.shared_part, JITTER)
        root_uu = np.linalg.cholesky(self.shared_part * shared_uu + own_part * np.eye(len(mixtures_ud)))
        remoteness_u = _remoteness(mixtures_ud, self.observed_nd, self.typical_distance) / self.typical_remoteness
        normal_bu = np.random.default_rng(seed).standard_normal((count, len(mixtures_ud)))
        return (self.standard_deviation * remoteness_u ** (self.growth / 2) * (normal_bu @ root_uu.T))[:, which_m.reshape(-1)]


def noise_between_seeds(weights_nd: Array, loss_n: Array) -> float | None:
    """Standard deviation of the loss of runs of one mixture, pooled; None where no mixture was trained twice."""
    mixture_n = distinct_mixtures(weights_nd)
    runs = np.bincount(mixture_n)
    freedom = len(loss_n) - len(runs)
    if not freedom:
        return None
    means = np.bincount(mixture_n, loss_n) / runs
    return float(np.sqrt(np.sum((loss_n - means[mixture_n]) ** 2) / freedom))


def _profile_likelihood(residual_n: Array, grown_n: Array, shared_part: float, kernel_nn: Array) -> float:
    """Log likelihood of the residuals at the best variance."""
    covariance_nn = shared_part * kernel_nn + (1 - shared_part) * np.eye(len(residual_n))
    root_nn = np.linalg.cholesky(covariance_nn)
    white_n = solve_triangular(root_nn, residual_n / np.sqrt(grown_n), lower=True)
    variance = max(float(np.mean(white_n**2)), 1e-300)
    return float(-0.5 * len(residual_n) * np.log(variance) - np.log(np.diag(root_nn)).sum() - 0.5 * np.log(grown_n).sum())


def _central_spread(residual_n: Array) -> float:
    """The standard deviation of a normal distribution whose central interval would hold the share `CONFIDENCE` of one more residual."""
    rank = min(int(np.ceil(CONFIDENCE * (len(residual_n) + 1))), len(residual_n))
    return float(np.sort(np.abs(residual_n))[rank - 1] / norm.ppf((1 + CONFIDENCE) / 2))


def _distances(one_md: Array, other_nd: Array) -> Array:
    """Hellinger's, up to a factor (m, n)."""
    return cdist(np.sqrt(one_md), np.sqrt(other_nd))


def _remoteness(weights_md: Array, observed_nd: Array, typical_distance: float) -> Array:
    """v (m), above 0 and at most 1."""
    kernel_nn = np.exp(-_distances(observed_nd, observed_nd) / typical_distance) + JITTER * np.eye(len(observed_nd))
    to_observed_mn = np.exp(-_distances(weights_md, observed_nd) / typical_distance)
    known_m = np.einsum("mn,nm->m", to_observed_mn, np.linalg.solve(kernel_nn, to_observed_mn.T))
    return np.clip(1 - known_m, JITTER, 1.0)
