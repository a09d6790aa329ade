"""The batch of runs to train next."""

import numpy as np
import pytest

from models.mixture_laws.candidates import distances
from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.next_runs import choose, spread

NONE_OBSERVED = np.zeros((0, 2))


def on_a_line(count: int) -> np.ndarray:
    share = np.linspace(0, 1, count)
    return np.stack([share, 1 - share], axis=1)


def test_runs_that_may_beat_the_proposal_come_first():
    """Candidate 1 is better in half of the draws, 2 in a tenth by as much, 3 never."""
    draws = np.array([[1.0, 0.0 if b < 50 else 2.0, 0.0 if b >= 90 else 2.0, 3.0] for b in range(100)])
    chosen = choose(on_a_line(4), draws, NONE_OBSERVED, 3, noise_sd=0.01, apart=0.01)
    assert [it.candidate for it in chosen] == [0, 1, 2]
    assert [it.reason for it in chosen] == ["proposal", "improvement", "improvement"]
    assert [it.batch_improvement for it in chosen] == pytest.approx([0, 0.5, 0.6])


def test_the_second_of_two_that_tell_the_same_is_not_taken():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 500))
    draws = np.stack([np.full(500, -9.0), one, one + 1e-6 * other, 0.5 * other], axis=1)  # none can beat the proposal
    draws[0, 3], draws[1, 1] = -9.001, -9.001  # but 1 and 3 are best in a draw
    chosen = choose(on_a_line(4), draws, on_a_line(4)[:1], 2, noise_sd=0.1, apart=0.01)
    assert {it.candidate for it in chosen} == {1, 3} or {it.candidate for it in chosen} == {2, 3}
    assert all(it.reason == "information" for it in chosen)


def test_no_near_copies_of_each_other_or_of_runs():
    rng = np.random.default_rng(1)
    weights, observed = rng.dirichlet(np.ones(3), 300), rng.dirichlet(np.ones(3), 10)
    draws = rng.standard_normal((64, 300))
    chosen = weights[[it.candidate for it in choose(weights, draws, observed, 12, noise_sd=0.1, apart=0.05)]]
    between = distances(chosen, chosen)[np.triu_indices(12, 1)]
    assert len(chosen) == 12 and between.min() > 0.05 and distances(chosen, observed).min() > 0.05


def test_fewer_runs_where_no_more_differ():
    weights = np.array([[0.5, 0.5], [0.503, 0.497], [0.9, 0.1]])
    assert len(choose(weights, np.random.default_rng(0).standard_normal((20, 3)), NONE_OBSERVED, 3, 0.1, 0.2)) == 2


def test_changes_are_varied_and_the_rest_keeps_its_proportions():
    base, natural = np.array([0.6, 0.3, 0.1, 0.0]), np.array([0.4, 0.3, 0.1, 0.2])
    feasible = FeasibleMixtures(np.zeros(4), np.array([1, 1, 1, 0.3]), natural)
    runs = spread([(3,)], base, natural, feasible, 4, seed=0)
    assert (runs[:, 0] / runs[:, 1]) == pytest.approx(np.full(4, 2.0)) and (runs[:, 0] / runs[:, 2]) == pytest.approx(np.full(4, 6.0))
    assert runs[:, 3].max() <= 0.3 and runs[:, 3].max() > 0.25 and np.diff(np.sort(runs[:, 3])).min() > 0.03


def test_parts_of_a_split_domain_keep_their_sum():
    base, natural = np.array([0.6, 0.3, 0.1]), np.array([0.7, 0.2, 0.1])
    runs = spread([(1, 2)], base, natural, FeasibleMixtures(np.zeros(3), np.ones(3), natural), 4, seed=0)
    assert runs[:, 0] == pytest.approx(np.full(4, 0.6)) and np.ptp(runs[:, 1]) > 0.25
