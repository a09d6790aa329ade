"""The lowest prediction under limits, of smooth laws and of laws in steps."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.optimiser import best_mixture
from tests.models.mixture_laws.trial_law import Truth, keeps_to


def even(num_domains: int, high: float = 1.0, max_kl: float | None = None) -> FeasibleMixtures:
    return FeasibleMixtures(np.zeros(num_domains), np.full(num_domains, high), np.full(num_domains, 1 / num_domains), max_kl)


def a_truth(num_domains: int):
    truth = Truth.of(num_domains, 1, seed=1)
    return lambda weights_md: truth.losses(weights_md)[:, 0]


def lowest(predict, feasible: FeasibleMixtures) -> float:
    """Of a convex function, by an optimiser that is not ours."""
    constraints = [{"type": "eq", "fun": lambda w: w.sum() - 1}]
    if (max_kl := feasible.max_kl) is not None:
        constraints.append({"type": "ineq", "fun": lambda w: max_kl - feasible.divergence(np.maximum(w, 1e-15)[None])[0]})
    bounds = list(zip(feasible.low_d, feasible.high_d, strict=True))
    options = {"maxiter": 1000, "ftol": 1e-14}
    return minimize(lambda w: predict(w[None])[0], feasible.anchor_d, bounds=bounds, constraints=constraints, method="SLSQP", options=options).fun


@pytest.mark.parametrize("num_domains", [2, 6, 17])
@pytest.mark.parametrize("max_kl", [None, 0.1])
def test_a_convex_law_is_minimised_exactly(num_domains: int, max_kl: float | None):
    predict, feasible = a_truth(num_domains), even(num_domains, high=0.6, max_kl=max_kl)
    best_d = best_mixture(predict, feasible, feasible.anchor_d[None], seed=0)
    assert predict(best_d[None])[0] == pytest.approx(lowest(predict, feasible), abs=1e-6)
    assert keeps_to(feasible, best_d)


@pytest.mark.parametrize("num_domains", [6, 17])
def test_a_law_in_steps_is_minimised_to_a_step(num_domains: int):
    smooth, feasible, step = a_truth(num_domains), even(num_domains, high=0.6), 0.02
    best_d = best_mixture(lambda weights_md: np.floor(smooth(weights_md) / step), feasible, feasible.anchor_d[None], seed=0)
    assert smooth(best_d[None])[0] < lowest(smooth, feasible) + 2 * step


def test_a_linear_law_ends_in_the_corner_that_the_bounds_leave():
    slopes, feasible = np.array([3.0, 1.0, 2.0, 0.5]), FeasibleMixtures(np.array([0.1, 0, 0, 0]), np.array([1, 0.5, 0.3, 0.25]), np.full(4, 0.25))
    best_d = best_mixture(lambda weights_md: weights_md @ slopes, feasible, feasible.anchor_d[None], seed=0)
    exact = linprog(slopes, A_eq=np.ones((1, 4)), b_eq=[1], bounds=list(zip(feasible.low_d, feasible.high_d, strict=True)))
    assert best_d == pytest.approx(exact.x, abs=1e-6)


def test_the_deeper_of_two_valleys_is_found():
    """One wide and flat, one narrow and deep, away from the centre."""
    deep_d = np.array([0.7, 0.1, 0.1, 0.1])
    predict = lambda w: ((w - 0.25) ** 2).sum(axis=1) - 2 * np.exp(-((w - deep_d) ** 2).sum(axis=1) / 0.02)  # noqa: E731
    assert best_mixture(predict, even(4), np.full((1, 4), 0.25), seed=0) == pytest.approx(deep_d, abs=0.01)


def test_of_equally_good_mixtures_the_nearest_to_the_centre_is_taken():
    best_d = best_mixture(lambda weights_md: np.zeros(len(weights_md)), even(5), np.eye(5), seed=0)
    assert best_d == pytest.approx(np.full(5, 0.2), abs=1e-9)
