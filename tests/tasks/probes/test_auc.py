import numpy as np
import pytest

from tasks.probes.auc import area_under_curve


def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_half():
    estimate = area_under_curve(np.array([3.0, 2.0, 1.0]), np.array([2.0, 0.0]))
    assert estimate.value == (2 + 1.5 + 1) / 6
    assert estimate.count == 5


def test_the_standard_error_is_the_spread_over_samples():
    generator = np.random.default_rng(0)
    estimates = [area_under_curve(generator.normal(0.7, 1, 60), generator.normal(0, 2, 40)) for _ in range(1500)]
    values, stderrs = np.array([(estimate.value, estimate.stderr) for estimate in estimates], float).T
    assert stderrs.mean() == pytest.approx(values.std(), rel=0.05)


def test_groups_that_do_not_overlap_have_no_standard_error():
    assert area_under_curve(np.array([3.0, 4.0]), np.array([1.0, 2.0])).model_dump() == {"value": 1.0, "stderr": None, "count": 4}


@pytest.mark.parametrize("members", [[], [1.0], [1.0, np.nan]])
def test_what_cannot_be_measured_is_missing(members):
    assert area_under_curve(np.array(members), np.array([1.0, 2.0])).value is None
