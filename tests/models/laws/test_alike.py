import numpy as np

from models.laws.alike import within


def test_budgets_that_are_counted_a_little_differently_are_one():
    values = np.array([3.1e18, 1e18, 1.04e18, 3e18, 9e19, 0.97e18])
    assert [sorted(group.tolist()) for group in within(values)] == [[1, 2, 5], [0, 3], [4]]


def test_the_window_with_most_values_comes_first():
    values = np.array([0.92, 1.0, 1.01, 1.02, 1.09])
    assert [sorted(group.tolist()) for group in within(values)] == [[0], [1, 2, 3, 4]]


def test_order_and_unit_do_not_matter():
    values = np.random.default_rng(0).lognormal(sigma=0.3, size=60)
    order = np.random.default_rng(1).permutation(60)
    plain = [set(group) for group in within(values)]
    assert [set(order[group]) for group in within(1e18 * values[order])] == plain
