"""How far a law's predictions are from the loss of mixtures that it has not seen, learned from cross-validation.

e(w) ~ Gaussian process with mean 0 and standard deviation s (u(w) / mean u)^kappa, where u is the distance from the centre of the runs: laws err
more towards the corners. Mixtures at distance delta share rho exp(-delta / typical distance) of their error. Distances are Hellinger's. kappa and
rho maximise the likelihood of the residuals out of fold; s then makes nine of ten of them lie in their 90% interval (split-conformal, arXiv
1604.04173: right on average whatever their distribution), and what was learned from fewer runs than there are erred more by the square root of their
ratio. So the law's misfit is in it, not only its parameters' uncertainty. Where several seeds of one mixture were trained, their scatter is
subtracted: that is the noise of a run, not the law's error.

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

CONFIDENCE = 0.9  # at which intervals are right
SHARED_PARTS = (0.0, 0.25, 0.5, 0.75, 0.9)  # rho; with 1, errors would be one smooth surface
GROWTHS = (0.0, 0.5, 1.0, 2.0, 3.0)  # kappa: from not at all to eightfold where the distance doubles
SMALLEST_PART = 0.05  # of the residuals' variance that is the law's, however much the seeds scatter
SMALLEST_DISTANCE = 0.1  # of the mean distance from the centre: even there a law errs


@dataclass(frozen=True)
class ErrorOfPrediction:
    centre_d: Array  # of the square roots of the weights
    mean_distance: float  # of the runs from it
    typical_distance: float  # between two mixtures
    standard_deviation: float  # s, in the loss' unit
    noise: float | None  # standard deviation of one run's loss between seeds; None where no mixture was trained twice
    growth: float  # kappa
    shared_part: float  # rho

    @classmethod
    def of(cls, weights_nd: Array, loss_n: Array, residual_n: Array, learned_share: float) -> "ErrorOfPrediction":
        """From the residuals out of fold (n) of all runs, in the loss' unit, where each was predicted from the share `learned_share` of the runs."""
        centre_d = np.sqrt(weights_nd).mean(axis=0)
        mean_distance = float(np.linalg.norm(np.sqrt(weights_nd) - centre_d, axis=1).mean())
        distances_nn = _distances(weights_nd, weights_nd)
        typical_distance = float(np.median(distances_nn[distances_nn > 0]))
        kernel_nn = np.exp(-distances_nn / typical_distance)
        outward_n = _outward(weights_nd, centre_d, mean_distance)
        tried = [
            (_log_likelihood(residual_n / outward_n**kappa, outward_n**kappa, rho, kernel_nn), kappa, rho)
            for kappa, rho in product(GROWTHS, SHARED_PARTS)
        ]
        _, growth, shared_part = max(tried)
        variance = _central_spread(residual_n / outward_n**growth) ** 2 * learned_share
        noise = noise_between_seeds(weights_nd, loss_n)
        of_the_law = max(variance - (noise or 0.0) ** 2, SMALLEST_PART * variance)
        return cls(centre_d, mean_distance, typical_distance, float(np.sqrt(of_the_law)), noise, growth, shared_part)

    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        """(b, m) of the error, jointly over mixtures; the same for the same mixture."""
        mixtures_ud, which_m = np.unique(weights_md, axis=0, return_inverse=True)
        normal_bu = np.random.default_rng(seed).standard_normal((count, len(mixtures_ud)))
        if self.shared_part:
            shared_uu = np.exp(-_distances(mixtures_ud, mixtures_ud) / self.typical_distance)
            normal_bu = normal_bu @ np.linalg.cholesky(self.shared_part * shared_uu + (1 - self.shared_part) * np.eye(len(mixtures_ud))).T
        spread_u = self.standard_deviation * _outward(mixtures_ud, self.centre_d, self.mean_distance) ** self.growth
        return (spread_u * normal_bu)[:, which_m.reshape(-1)]


def noise_between_seeds(weights_nd: Array, loss_n: Array) -> float | None:
    """Standard deviation of the loss of runs of one mixture, pooled; None where no mixture was trained twice."""
    mixture_n = distinct_mixtures(weights_nd)
    runs = np.bincount(mixture_n)
    freedom = len(loss_n) - len(runs)
    if not freedom:
        return None
    means = np.bincount(mixture_n, loss_n) / runs
    return float(np.sqrt(np.sum((loss_n - means[mixture_n]) ** 2) / freedom))


def _log_likelihood(scaled_n: Array, scale_n: Array, shared_part: float, kernel_nn: Array) -> float:
    """Of residuals = scale * scaled, at the best variance."""
    root_nn = np.linalg.cholesky(shared_part * kernel_nn + (1 - shared_part) * np.eye(len(scaled_n)))
    variance = max(float(np.mean(solve_triangular(root_nn, scaled_n, lower=True) ** 2)), 1e-300)
    return float(-0.5 * len(scaled_n) * np.log(variance) - np.log(np.diag(root_nn)).sum() - np.log(scale_n).sum())


def _central_spread(residual_n: Array) -> float:
    """The standard deviation of a normal distribution whose central interval would hold the share `CONFIDENCE` of one more residual."""
    rank = min(int(np.ceil(CONFIDENCE * (len(residual_n) + 1))), len(residual_n))
    return float(np.sort(np.abs(residual_n))[rank - 1] / norm.ppf((1 + CONFIDENCE) / 2))


def _outward(weights_md: Array, centre_d: Array, mean_distance: float) -> Array:
    """u (m) over its mean."""
    return np.maximum(np.linalg.norm(np.sqrt(weights_md) - centre_d, axis=1) / mean_distance, SMALLEST_DISTANCE)


def _distances(one_md: Array, other_nd: Array) -> Array:
    """Hellinger's, up to a factor (m, n)."""
    return cdist(np.sqrt(one_md), np.sqrt(other_nd))
