"""Mixtures moved into bounds and near a centre."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frozen import StudyError
from models.mixture_laws.feasible import FeasibleMixtures, kl


def some_bounds(rng: np.random.Generator, num_domains: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds around some mixture, so that they can be met; shares of zero and domains without room are among them."""
    inside_d = rng.dirichlet(np.full(num_domains, 0.5))
    low_d = inside_d * rng.choice([0.0, 0.5, 1.0], num_domains)
    high_d = np.minimum(inside_d * rng.choice([1.0, 1.5, 20.0], num_domains) + rng.choice([0.0, 0.1], num_domains), 1.0)
    return low_d, high_d, inside_d


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_what_is_nearest_is_feasible_to_rounding(seed: int, num_domains: int, with_kl: bool):
    rng = np.random.default_rng(seed)
    low_d, high_d, inside_d = some_bounds(rng, num_domains)
    max_kl = rng.uniform(0.01, 1.0) if with_kl else None
    feasible = FeasibleMixtures(low_d, high_d, inside_d, max_kl)
    moved = feasible.nearest(np.concatenate([rng.dirichlet(np.full(num_domains, 0.2), 30), np.eye(num_domains), inside_d[None]]))
    assert np.abs(moved.sum(axis=1) - 1).max() < 1e-12
    assert (moved >= feasible.low_d).all() and (moved <= feasible.high_d).all()
    if max_kl is not None:
        assert feasible.divergence(moved).max() <= max_kl + 1e-9
    assert moved[-1] == pytest.approx(inside_d, abs=1e-9)  # what is feasible stays


def test_a_corner_ends_on_the_ball_around_the_centre():
    feasible = FeasibleMixtures(np.zeros(3), np.ones(3), np.array([0.2, 0.3, 0.5]), 0.1)
    moved = feasible.nearest(np.eye(3))
    assert feasible.divergence(moved) == pytest.approx(0.1, abs=1e-9)
    assert (np.diag(moved) > feasible.centre_d + 0.05).all()


def test_kl_is_that_of_the_formula():
    assert kl(np.array([[0.5, 0.5, 0.0]]), np.array([0.25, 0.5, 0.25])) == pytest.approx(0.5 * np.log(2))
    assert kl(np.array([[0.5, 0.5]]), np.array([1.0, 0.0]))[0] == np.inf


def test_a_domain_that_the_centre_lacks_gets_nothing_within_a_distance():
    feasible = FeasibleMixtures(np.zeros(3), np.ones(3), np.array([0.5, 0.5, 0.0]), 0.2)
    assert (feasible.nearest(np.eye(3))[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("low", "high", "max_kl", "words"),
    [
        ([0.5, 0.6, 0], [1, 1, 1], None, "minimum shares sum to 1.1"),
        ([0, 0, 0], [0.2, 0.3, 0.4], None, "maximum shares sum to 0.9"),
        ([0.5, 0, 0], [0.4, 1, 1], None, "'a' must have a share of at least 0.5 and of at most 0.4"),
        ([0.9, 0, 0], [1, 1, 1], 0.05, "'a' 0.3333 to 0.9"),
    ],
)
def test_bounds_that_exclude_each_other_are_named(low, high, max_kl, words):
    feasible = FeasibleMixtures(np.array(low, float), np.array(high, float), np.full(3, 1 / 3), max_kl)
    with pytest.raises(StudyError, match=words):
        feasible.check("abc", "the natural shares")
