import numpy as np
import pytest

from models.mixture_laws.back_test import back_test, fewest_mixtures
from models.mixture_laws.exponential import Exponential


def test_mixtures_that_were_left_out_are_predicted():
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), size=24)
    loss = 2.0 + np.exp(weights @ np.array([0.5, -1.0, -0.2])) + 0.005 * random.standard_normal(24)
    names = [f"m{number}" for number in range(24)]
    found = back_test(Exponential(), names, weights, loss, np.full(24, 0.005), "1M", 0.9, seed=0)
    assert found.law == "exp" and [row.mixture for row in found.rows] == names
    assert found.decision_accuracy is not None and found.decision_accuracy > 0.95
    assert found.spearman is not None and found.spearman > 0.95 and found.regret is not None and found.regret < 0.02
    assert found.coverage is not None and found.coverage >= 0.75
    turned = back_test(Exponential(), names[::-1], weights[::-1], loss[::-1], np.full(24, 0.005), "1M", 0.9, seed=0)
    assert turned.decision_accuracy == pytest.approx(found.decision_accuracy, abs=0.02)


def test_what_a_mixture_law_needs():
    assert fewest_mixtures(2) == 5 and fewest_mixtures(8) == 12
    assert all(fewest_mixtures(d) - np.ceil(fewest_mixtures(d) / 8) >= d + 1 for d in range(2, 40))
