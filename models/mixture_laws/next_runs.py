"""Which mixtures to train next: those that may beat the proposal, then those that tell most about where the best one lies.

Improvement: the expected gain of the batch over the proposal, by joint draws of the law, chosen greedily (q-EI by sample average, arXiv 1910.06403;
greedy is within 1 - 1/e of the best batch, as the gain is submodular). Information: the run that most reduces the draws' variance over the
mixtures that are best in some draw (integrated variance reduction, Cohn 1996), given the runs chosen before it.

Shapes: c candidates, b draws, d domains, n runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.laws.law import Array
from models.mixture_laws.candidates import distances
from models.mixture_laws.feasible import FeasibleMixtures

WORTHWHILE = 0.01  # of the noise of a run: a smaller expected gain is none
POOL_PER_RUN = 64
UP_TO_NATURAL = 3.0  # a new domain's share varies up to this multiple of its natural one, or an even share where that is more
LEAST_APART = 0.01  # share of tokens by which runs must differ in any case

Reason = Literal["proposal", "improvement", "information"]


@dataclass(frozen=True)
class Choice:
    candidate: int
    reason: Reason
    batch_improvement: float  # expected gain over the proposal of the batch up to and with this run


def choose(weights_cd: Array, draws_bc: Array, observed_nd: Array, count: int, noise_sd: float, apart: float) -> list[Choice]:
    """Up to `count` of the candidates, of which the first is the proposal; what is low is good.

    No choice is a near-copy, `apart` tokens' share or less, of an observed or a chosen one; where that leaves too few, `apart` is halved down to 1%.
    """
    free_c = distances(weights_cd, observed_nd).min(axis=1, initial=np.inf)
    best_b, covariance_cc = draws_bc[:, 0].copy(), np.cov(draws_bc, rowvar=False)
    interesting = np.unique(draws_bc.argmin(axis=1))
    chosen: list[Choice] = []
    gained = 0.0
    for _ in range(count):
        allowed, apart = _allowed(free_c, apart)
        if not len(allowed):
            break
        gains = np.maximum(best_b[:, None] - draws_bc[:, allowed], 0).mean(axis=0)
        if not chosen and 0 in allowed:
            pick, reason = 0, "proposal"
        elif gains.max() > WORTHWHILE * noise_sd:
            pick, reason = int(allowed[gains.argmax()]), "improvement"
        else:
            pick, reason = int(allowed[_told(covariance_cc, allowed, interesting, noise_sd).argmax()]), "information"
        gained += float(np.maximum(best_b - draws_bc[:, pick], 0).mean())
        best_b = np.minimum(best_b, draws_bc[:, pick])
        told_c = covariance_cc[pick]
        covariance_cc = covariance_cc - np.outer(told_c, told_c) / max(told_c[pick] + noise_sd**2, 1e-300)
        free_c = np.minimum(free_c, distances(weights_cd, weights_cd[pick : pick + 1])[:, 0])
        chosen.append(Choice(pick, reason, gained))
    return chosen


def _allowed(free_c: Array, apart: float) -> tuple[Array, float]:
    """Candidates that are no near-copies, and how near that is."""
    while not len(allowed := np.flatnonzero(free_c > apart)) and apart > LEAST_APART:
        apart = max(apart / 2, LEAST_APART)
    return allowed, apart


def _told(covariance_cc: Array, allowed: Array, interesting: Array, noise_sd: float) -> Array:
    """Variance over the interesting mixtures that a run of each allowed one would take away."""
    variance_c = np.diag(covariance_cc)[allowed]
    return (covariance_cc[np.ix_(allowed, interesting)] ** 2).sum(axis=1) / np.maximum(variance_c + noise_sd**2, 1e-300)


def spread(varied: Sequence[tuple[int, ...]], base_d: Array, natural_d: Array, feasible: FeasibleMixtures, count: int, seed: int) -> Array:
    """(count, d) mixtures that vary what runs know nothing about, and leave the proportions of all else as they are in `base_d`.

    `varied`: the domains of each change: one alone (added or revised: its share varies), or the parts of a split domain (their proportions vary;
    their sum is the base's, or the natural one where that is more). Farthest first among random ones.
    """
    if not count:
        return np.zeros((0, len(base_d)))
    rng = np.random.default_rng(seed)
    pool_pd = feasible.nearest(np.array([_varied(varied, base_d, natural_d, rng) for _ in range(POOL_PER_RUN * count)]))
    apart_p = distances(pool_pd, base_d[None])[:, 0]
    picks: list[int] = []
    for _ in range(count):
        picks.append(int(apart_p.argmax()))
        apart_p = np.minimum(apart_p, distances(pool_pd, pool_pd[picks[-1:]])[:, 0])
    return pool_pd[picks]


def _varied(varied: Sequence[tuple[int, ...]], base_d: Array, natural_d: Array, rng: np.random.Generator) -> Array:
    weights_d = base_d.copy()
    for group in varied:
        columns = list(group)
        if len(group) == 1:
            share, proportions = rng.uniform(0, min(1.0, max(UP_TO_NATURAL * natural_d[columns[0]], 1 / len(base_d)))), np.ones(1)
        else:
            share = max(base_d[columns].sum(), natural_d[columns].sum())
            proportions = rng.dirichlet(np.ones(len(columns)))
        others = np.setdiff1d(np.arange(len(base_d)), columns)
        weights_d[others] *= (1 - share) / max(weights_d[others].sum(), 1e-300)
        weights_d[columns] = share * proportions
    return weights_d
