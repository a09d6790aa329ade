"""What is said of proposals near the runs, between them and beyond them."""

import numpy as np

from models.mixture_laws.support import inside_hull, support

RNG = np.random.default_rng(0)
OBSERVED = RNG.dirichlet(np.full(4, 2.0), 40)
KEYS = [f"run {i}" for i in range(40)]


def test_an_observed_mixture_is_supported_by_itself():
    it = support(OBSERVED[7], "abcd", KEYS, OBSERVED)
    assert it.supported and it.nearest_runs[0].run == "run 7" and it.nearest_runs[0].distance == 0 and it.inside_hull and not it.corners
    assert it.runs_at_or_above["a"] == int((OBSERVED[:, 0] >= OBSERVED[7, 0] - 0.005).sum())


def test_a_corner_is_said_to_be_one():
    it = support(np.array([1.0, 0, 0, 0]), "abcd", KEYS, OBSERVED)
    assert not it.supported and not it.inside_hull and it.corners["a"].largest_observed == OBSERVED[:, 0].max()
    assert it.runs_at_or_above == {"a": 0} and "a corner that no run reaches, with 1 of 'a'" in it.statement


def test_a_hole_between_runs_is_inside_but_not_supported():
    ends = np.repeat(np.eye(3), 5, axis=0) * 0.97 + 0.01 + RNG.uniform(0, 1e-3, (15, 3))
    observed = ends / ends.sum(axis=1, keepdims=True)
    it = support(np.full(3, 1 / 3), "abc", KEYS, observed)
    assert it.inside_hull and not it.supported and it.relative_distance is not None and it.relative_distance > 100


def test_runs_of_one_mixture_have_no_typical_distance():
    it = support(np.array([0.5, 0.5]), "ab", KEYS, np.tile([0.5, 0.5], (3, 1)))
    assert it.relative_distance is None and it.supported


def test_averages_of_runs_are_inside():
    for _ in range(20):
        assert inside_hull(RNG.dirichlet(np.ones(40)) @ OBSERVED, OBSERVED)
