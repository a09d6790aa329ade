"""Iterated search for the best mixture: propose, train, refit, shrink (CLIMB, arXiv 2504.13161).

The first round spreads over what is feasible. Every later one refits the law to all runs so far, keeps the candidates that it predicts best, half as
many each round, and trains those of them that may beat the proposal or tell most about it (`next_runs`).

Shapes: d domains, m mixtures, t losses, c candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.laws.law import Array
from models.mixture_laws import next_runs
from models.mixture_laws.candidates import around, candidates, distances
from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.law import MixtureLaw, MixtureRuns
from models.mixture_laws.optimiser import best_mixture

CANDIDATES, NEIGHBOURS = 900, 300
KEPT_FIRST = 0.5  # of the candidates, in the first refitted round; halved every round
DRAWS = 128
NEAR_COPY = 0.25  # of the typical distance between candidates, shrunk with what is kept

Train = Callable[[Array], Array]  # mixtures (m, d) to their losses (m, t)


@dataclass(frozen=True)
class Round:
    """What was known after a round."""

    runs: MixtureRuns  # of this and all earlier rounds
    best_d: Array  # the proposal from them


def search(
    law: MixtureLaw,
    train: Train,
    feasible: FeasibleMixtures,
    domains: Sequence[str],
    loss_names: Sequence[str],
    target_t: Array,
    runs_per_round: Sequence[int],
    seed: int = 0,
) -> list[Round]:
    """Lowers the target. CLIMB's own rounds are 64, 32 and 16 runs. Deterministic where `train` is."""
    rounds: list[Round] = []
    weights_nd, losses_nt = np.zeros((0, len(domains))), np.zeros((0, len(loss_names)))
    for index, count in enumerate(runs_per_round):
        rng = np.random.default_rng([seed, index])
        weights_md = refined(law, rounds[-1], feasible, target_t, count, index, rng) if rounds else spread(feasible, count, rng)
        weights_nd, losses_nt = np.concatenate([weights_nd, weights_md]), np.concatenate([losses_nt, train(weights_md)])
        runs = MixtureRuns(tuple(domains), tuple(loss_names), weights_nd, losses_nt)
        rounds.append(Round(runs, best_mixture(law.fit(runs, target_t).predict, feasible, weights_nd, seed)))
    return rounds


def spread(feasible: FeasibleMixtures, count: int, rng: np.random.Generator) -> Array:
    """(count, d) feasible mixtures, each the farthest of many from those before it; the first is the anchor."""
    pool_cd = candidates(feasible, feasible.anchor_d[None], CANDIDATES, rng)
    picks, apart_c = [0], distances(pool_cd, pool_cd[:1])[:, 0]
    while len(picks) < count:
        picks.append(int(apart_c.argmax()))
        apart_c = np.minimum(apart_c, distances(pool_cd, pool_cd[picks[-1:]])[:, 0])
    return pool_cd[picks]


def refined(law: MixtureLaw, last: Round, feasible: FeasibleMixtures, target_t: Array, count: int, index: int, rng: np.random.Generator) -> Array:
    """(m, d) the next round's mixtures, `count` or fewer where no more differ."""
    fitted = law.fit(last.runs, target_t)
    kept = KEPT_FIRST**index
    pool_cd = np.concatenate(
        [
            candidates(feasible, last.runs.weights_nd, CANDIDATES, rng),
            around(np.tile(last.best_d, (NEIGHBOURS, 1)), kept, feasible, rng),
        ]
    )
    promising = np.argsort(fitted.predict(pool_cd), kind="stable")[: max(int(kept * len(pool_cd)), 4 * count)]
    pool_cd = np.concatenate([last.best_d[None], pool_cd[promising]])
    draws_bc = fitted.draws(pool_cd, DRAWS, seed=index)
    noise_sd = float((last.runs.losses_nt @ target_t - fitted.predict(last.runs.weights_nd)).std())
    apart = NEAR_COPY * kept * float(np.median(distances(pool_cd, last.runs.weights_nd).min(axis=1)))
    chosen = next_runs.choose(pool_cd, draws_bc, last.runs.weights_nd, count, noise_sd, apart)
    return pool_cd[[it.candidate for it in chosen]]
