"""The feasible mixture with the lowest prediction, for any law: smooth, of many valleys, or in steps as trees are.

Global: the best of many candidates. Local: SLSQP from the best of these with slopes over wide
differences, generations of neighbours with steps that shrink, SLSQP with exact slopes. Shapes: d domains, m mixtures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from models.laws.law import Array
from models.mixture_laws.candidates import around, candidates
from models.mixture_laws.feasible import UNSEEN_SHARE, FeasibleMixtures

CANDIDATES = 3000
ELITE, CHILDREN, GENERATIONS = 16, 24, 24
FIRST_STEP, LAST_STEP = 0.5, 0.002  # of the tokens
POLISHED = 4
ROUNDING = 1e-9  # of the predictions' interquartile range
# of a share, for slopes, and SLSQP's iterations: over the steps of trees, as in implicit filtering (Kelley 2011); and for smooth laws
WIDE, EXACT = (0.03, 15), (1e-6, 60)

Predict = Callable[[Array], Array]  # mixtures (m, d) to what shall be low (m)


def best_mixture(predict: Predict, feasible: FeasibleMixtures, observed_nd: Array, seed: int) -> Array:
    """(d). Of equally good ones, the nearest to the centre. Deterministic."""
    rng = np.random.default_rng(seed)
    pool_md = candidates(feasible, observed_nd, CANDIDATES, rng)
    value_m = predict(pool_md)
    # not the whole range: far corners may be predicted absurdly high
    unit = float(np.subtract(*np.quantile(value_m, [0.75, 0.25]))) or float(np.ptp(value_m)) or 1.0
    elite = _Elite(lambda weights_md: predict(weights_md) / unit, feasible, *_best(pool_md, value_m / unit, feasible))
    elite = elite.joined_by(_polished(elite, *WIDE))
    for step in np.geomspace(FIRST_STEP, LAST_STEP, GENERATIONS):
        elite = elite.joined_by(around(np.repeat(elite.weights_md, CHILDREN, axis=0), step, feasible, rng))
    return elite.joined_by(_polished(elite, *EXACT)).weights_md[0]


@dataclass(frozen=True)
class _Elite:
    """The best mixtures so far, best first."""

    predict: Predict
    feasible: FeasibleMixtures
    weights_md: Array
    value_m: Array

    def joined_by(self, more_md: Array) -> "_Elite":
        weights_md, value_m = np.concatenate([self.weights_md, more_md]), np.concatenate([self.value_m, self.predict(more_md)])
        return _Elite(self.predict, self.feasible, *_best(weights_md, value_m, self.feasible))


def _best(weights_md: Array, value_m: Array, feasible: FeasibleMixtures) -> tuple[Array, Array]:
    """The elite and its values. Values that differ by rounding count as equal."""
    order = np.lexsort((feasible.divergence(weights_md), np.round((value_m - value_m.min()) / ROUNDING)))[:ELITE]
    return weights_md[order], value_m[order]


def _polished(elite: _Elite, difference: float, iterations: int) -> Array:
    """SLSQP from the first of the elite (m, d), with forward differences; feasible to rounding by `nearest` after it."""
    feasible, starts_md = elite.feasible, elite.weights_md[:POLISHED]

    def value_and_slopes(weights_d: Array) -> tuple[float, Array]:
        weights_d = np.maximum(weights_d, 0)
        values = elite.predict(np.concatenate([weights_d[None], weights_d + difference * np.eye(len(weights_d))]))
        return float(values[0]), (values[1:] - values[0]) / difference

    constraints = [{"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)}]
    if feasible.max_kl is not None:
        max_kl, centre_d = feasible.max_kl, np.maximum(feasible.centre_d, UNSEEN_SHARE)
        constraints.append(
            {
                "type": "ineq",
                "fun": lambda w: max_kl - float(feasible.divergence(np.maximum(w, 0)[None])[0]),
                "jac": lambda w: -1 - np.log(np.maximum(w, UNSEEN_SHARE) / centre_d),
            }
        )
    bounds, options = np.stack([feasible.low_d, feasible.high_d], axis=1), {"maxiter": iterations, "ftol": 1e-10}
    ends = [
        minimize(value_and_slopes, start_d, jac=True, method="SLSQP", bounds=bounds, constraints=constraints, options=options).x
        for start_d in starts_md
    ]
    return feasible.nearest(np.clip([end if np.isfinite(end).all() else start for end, start in zip(ends, starts_md, strict=True)], 0, None))
