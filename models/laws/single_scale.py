"""Ranking by the largest scale that was run, without a law: what a mixture lacks or gains there, it will lack or gain at the target, or about so.

Shapes: n runs, b draws, k scales, m mixtures, s sizes.
"""

from dataclasses import dataclass

import numpy as np

from models.laws.extrapolation import Extrapolation, noise
from models.laws.law import Array
from models.laws.noise import Runs, Variance, deviation_variance, group_means

# A mixture's deviation from the mean of all (of log-loss) changes with scale by a random walk in the logarithm of compute. Which share of the
# deviations' variance is new after each factor e of it, in published runs: .01 (70M to 160M parameters, arXiv 2403.16952), .008 for the median loss
# and .024 for the mean of 13 (1M to 60M, arXiv 2407.01492), and .09 with the noise of benchmarks in it (150M to 1B, arXiv 2504.11393: 80% of pairs
# are ordered alike, as by normal scores with the correlation sin(pi (.8 - .5)) = .81, so 1 - .81^2 is new after 44 times the compute).
CHANGED_SHARE = 0.03
CHANGED_SHARE_DEGREES = 2.0  # how many measured changes this prior is worth


@dataclass(frozen=True)
class SingleScale:
    """Draws of the losses at any scale: the level that the law gives to all, and deviations from it as they were at the largest size."""

    fitted: Extrapolation
    deviation_m: Array  # of log-loss from the mean over mixtures, at the largest size at which all mixtures have the same budgets
    runs_m: Array  # how many runs each is the mean of
    log_compute: float  # of that size, the mean over its budgets
    walk: Variance  # of a deviation's change per unit of log-compute

    def draws_at(self, num_params_k: Array, tokens_k: Array, seeds: int | None = None, place: int = 0) -> Array:
        """(b, k, m), as `Extrapolation.draws_at`. The walk to all scales and places is one: deviations at neighbouring scales err alike."""
        fitted, count = self.fitted, len(self.fitted.draws_bp)
        random = np.random.default_rng([fitted.seed, 2])
        own_seed = fitted.seed_variances_b * (1 - fitted.seed_variance.common_share)
        noise_bm, walk_bm = (z - z.mean(0) for z in random.standard_normal((2, count, len(self.deviation_m))))  # so few draws have the right mean
        deviation_bm = self.deviation_m + (own_seed[:, None] / self.runs_m) ** 0.5 * noise_bm
        walk_bm = self.walk.draws(random, count)[:, None] ** 0.5 * walk_bm
        steps_k = np.abs(log_compute(num_params_k, tokens_k) - self.log_compute) ** 0.5
        log_loss = deviation_bm[:, None] + steps_k[:, None] * walk_bm[:, None]
        log_loss -= log_loss.mean(-1, keepdims=True)
        log_loss += np.log(fitted.draws_at(num_params_k, tokens_k, place=place)).mean(-1, keepdims=True)
        if seeds:
            random = np.random.default_rng([fitted.seed, 3, place])
            log_loss += noise(random, fitted.seed_variances_b / seeds, fitted.seed_variance.common_share, len(self.deviation_m))
        return np.exp(log_loss)


def single_scale(fitted: Extrapolation) -> SingleScale | None:
    """None when there is no size at which all mixtures have runs of the same budget."""
    runs = of_complete_cells(fitted.runs)
    sizes = np.unique(runs.num_params)
    if not len(sizes):
        return None
    of_size = [runs.where(runs.num_params == size) for size in sizes]
    deviation_sm = np.stack([deviations(here) for here in of_size])
    runs_sm = np.stack([np.bincount(here.mixture) for here in of_size])
    log_compute_s = np.array([log_compute(here.num_params, here.tokens).mean() for here in of_size])
    own_seed = fitted.seed_variance.value * (1 - fitted.seed_variance.common_share)
    walk = walk_variance(deviation_sm, own_seed / runs_sm, np.diff(log_compute_s), CHANGED_SHARE * deviation_variance(runs).value)
    return SingleScale(fitted, deviation_sm[-1], runs_sm[-1], float(log_compute_s[-1]), walk)


def walk_variance(deviation_sm: Array, noise_sm: Array, log_compute_steps: Array, prior: float) -> Variance:
    """Per unit of log-compute, from the changes of the mixtures' deviations between sizes beyond the noise in them."""
    changes, noises = np.diff(deviation_sm, axis=0), noise_sm[1:] + noise_sm[:-1]
    freedom = deviation_sm.shape[1] - 1  # deviations sum to zero
    squares = ((changes**2).sum(1) - freedom * noises.mean(1)).sum()
    degrees = freedom * len(changes)
    measured = max(squares / (freedom * log_compute_steps.sum()), 0.0) if degrees else 0.0
    return Variance((degrees * measured + CHANGED_SHARE_DEGREES * prior) / (degrees + CHANGED_SHARE_DEGREES), degrees + CHANGED_SHARE_DEGREES, 0.0)


def of_complete_cells(runs: Runs) -> Runs:
    """The runs of cells in which every mixture has some."""
    complete = [cell for cell in np.unique(runs.cell) if len(np.unique(runs.mixture[runs.cell == cell])) == runs.num_mixtures]
    return runs.where(np.isin(runs.cell, complete))


def deviations(runs: Runs) -> Array:
    """(m) of each mixture's log-loss from the mean over mixtures, the mean over cells; seeds count alike."""
    _, first = np.unique(runs.group, return_index=True)
    mean = group_means(np.log(runs.loss), runs.group)[first]
    cell, mixture = runs.cell[first], runs.mixture[first]
    return np.bincount(mixture, mean - group_means(mean, cell)) / np.bincount(mixture)


def log_compute(num_params: Array, tokens: Array) -> Array:
    """log(6 N D)"""
    return np.log(6 * num_params * tokens)
