"""What separates losses from a law: noise between seeds and misfit of the law, each with the part that all mixtures share.

Seed s of every mixture has the same initialisation and data order, and what the law gets wrong at one size and budget it mostly gets wrong for
all mixtures: both cancel in differences between mixtures, so draws share them.
"""

from dataclasses import dataclass

import numpy as np

from models.laws.law import Array
from models.laws.pooled import SHARED

# Scaled inverse chi-square priors (standard deviation of the log-loss, degrees of freedom): they decide where there is one seed or one run per cell.
SEED_PRIOR = (0.005, 1.0)
MISFIT_PRIOR = (0.005, 4.0)
DEVIATION_PRIOR = (0.03, 2.0)
SHARE_PRIOR = (0.5, 4.0)  # of the common share: value, degrees of freedom. Too low a share understates levels' intervals, too high one differences'


@dataclass(frozen=True)
class Runs:
    """The runs of a study as arrays (n). A cell is a size with a token budget, the same in all mixtures."""

    mixture: Array  # 0, 1, ...
    cell: Array  # 0, 1, ...
    seed: Array
    num_params: Array
    tokens: Array
    loss: Array

    @property
    def inputs(self) -> dict[str, Array]:
        return {"N": self.num_params, "D": self.tokens, "mixture": self.mixture}

    @property
    def num_mixtures(self) -> int:
        return int(self.mixture.max()) + 1

    @property
    def group(self) -> Array:
        """(n) which runs differ in nothing but their seed: those of one mixture and cell."""
        return np.unique(self.mixture * (self.cell.max() + 1) + self.cell, return_inverse=True)[1]

    @property
    def seeds_in_group(self) -> Array:
        """(n) how many runs are in each run's group."""
        return np.bincount(self.group)[self.group]

    def where(self, chosen: Array) -> "Runs":
        return Runs(*(getattr(self, field)[chosen] for field in self.__dataclass_fields__))

    def with_runs(self, *others: "Runs") -> "Runs":
        return Runs(*(np.concatenate([getattr(runs, field) for runs in (self, *others)]) for field in self.__dataclass_fields__))


@dataclass(frozen=True)
class Variance:
    """A variance with its degrees of freedom, and the share of it that is common to all mixtures."""

    value: float
    degrees: float
    common_share: float

    def draws(self, random: np.random.Generator, count: int) -> Array:
        """(count) from its scaled inverse chi-square posterior."""
        return self.value * self.degrees / random.chisquare(self.degrees, count)


def seed_variance(runs: Runs) -> Variance:
    """Of log-losses between seeds of the same group, pooled over groups."""
    deviation = np.log(runs.loss) - group_means(np.log(runs.loss), runs.group)
    degrees = len(runs.loss) - len(np.unique(runs.group))
    return _with_prior(float(deviation @ deviation), degrees, SEED_PRIOR, _common_share(deviation, runs, by=(runs.cell, runs.seed), degrees=degrees))


def misfit_variance(runs: Runs, residual: Array, effective_parameters: float, seed: Variance) -> Variance:
    """Of the law's error per cell: what the residuals of group means hold beyond the noise of their seeds."""
    _, first = np.unique(runs.group, return_index=True)
    mean = group_means(residual, runs.group)[first]
    degrees = max(len(first) - effective_parameters, 0.0)
    from_seeds = float((seed.value / runs.seeds_in_group[first]).mean())
    square = max(float(mean @ mean) - degrees * from_seeds, 0.0)
    between_cells = max(len(np.unique(runs.cell)) - min(effective_parameters, SHARED), 0.0)  # what all mixtures share, the law mostly fits away
    return _with_prior(square, degrees, MISFIT_PRIOR, _common_share(mean, runs.where(first), by=(runs.cell[first],), degrees=between_cells))


def deviation_variance(runs: Runs) -> Variance:
    """Of the mixtures' levels of log-loss around their mean, over cells. It scales the priors of what is a mixture's own."""
    log_loss = np.log(runs.loss)
    level = np.bincount(runs.mixture, log_loss - group_means(log_loss, runs.cell)) / np.bincount(runs.mixture)
    level -= level.mean()
    return _with_prior(float(level @ level), len(level) - 1, DEVIATION_PRIOR, 0.0)


def group_means(values: Array, group: Array) -> Array:
    """(n) the mean of each row's group."""
    return (np.bincount(group, values) / np.maximum(np.bincount(group), 1))[group]


def _with_prior(square: float, degrees: float, prior: tuple[float, float], common_share: float) -> Variance:
    sd, prior_degrees = prior
    return Variance((square + prior_degrees * sd**2) / (degrees + prior_degrees), degrees + prior_degrees, common_share)


def _common_share(deviation: Array, runs: Runs, by: tuple[Array, ...], degrees: float) -> float:
    """The mean correlation of two mixtures' deviations at equal `by`, pulled towards its prior where there are few."""
    place = np.unique(np.stack(by), axis=1, return_inverse=True)[1].ravel()
    sums, squares, counts = (np.bincount(place, w) for w in (deviation, deviation**2, np.ones(len(deviation))))
    pairs = counts > 1
    if not pairs.any() or not squares[pairs].any():
        return SHARE_PRIOR[0]
    products = (sums**2 - squares)[pairs].sum() / (counts * (counts - 1))[pairs].sum()
    share = products / (squares[pairs].sum() / counts[pairs].sum())
    return (float(np.clip(share, 0.0, 0.95)) * degrees + SHARE_PRIOR[0] * SHARE_PRIOR[1]) / (degrees + SHARE_PRIOR[1])


def seed_standard_deviation(runs: Runs) -> tuple[float | None, int]:
    """Of one run's loss, in its unit, pooled over groups, with its degrees of freedom; None without two seeds anywhere."""
    deviation = runs.loss - group_means(runs.loss, runs.group)
    degrees = len(runs.loss) - len(np.unique(runs.group))
    return (float((deviation @ deviation / degrees) ** 0.5) if degrees else None), degrees


def signal_to_noise(runs: Runs, noise_sd: float | None) -> float | None:
    """The spread of the mixtures' losses at the largest cell that all have, over the noise of their mean over its seeds."""
    present = [len(np.unique(runs.mixture[runs.cell == cell])) for cell in range(runs.cell.max() + 1)]
    shared = [cell for cell, count in enumerate(present) if count == runs.num_mixtures]
    if not noise_sd or runs.num_mixtures < 2 or not shared:
        return None
    here = runs.where(runs.cell == shared[-1])
    seeds = np.bincount(here.mixture)
    means = np.bincount(here.mixture, here.loss) / seeds
    return float(means.std(ddof=1) / (noise_sd * np.mean(1 / seeds) ** 0.5))
