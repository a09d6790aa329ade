"""Laws recover truths of their own form, and say how sure they are."""

import numpy as np
import pytest

from models.mixture_laws.auto import Auto
from models.mixture_laws.boosted_trees import BoostedTrees
from models.mixture_laws.effective_data import EffectiveData, EffectiveDataSurface
from models.mixture_laws.exponential import Exponential, ExponentialSurface
from models.mixture_laws.gaussian_process import GaussianProcess
from models.mixture_laws.linear import Linear, LinearSurface
from models.mixture_laws.registry import LAWS
from models.mixture_laws.surface import Standardised
from tests.models.mixture_laws.truths import exponential, linear, power, rank_correlation, simulated, threshold


def surface_of(law, runs):
    surface = law.surfaces(runs)[0]
    assert isinstance(surface, Standardised)
    return surface.surface


def test_the_exponential_law_recovers_its_transfer():
    """Only differences between t are identified, since weights sum to one."""
    runs, weights, truth = simulated(64, 5, [exponential], noise=0.005)
    surface = surface_of(Exponential(), runs)
    assert isinstance(surface, ExponentialSurface)
    transfer, true = surface.theta[2:], np.linspace(-3, 0.5, 5)
    np.testing.assert_allclose(transfer - transfer.mean(), true - true.mean(), atol=0.2)
    assert np.abs(Exponential().fit(runs, np.ones(1)).predict(weights) - truth[:, 0]).mean() < 0.02 * truth.std()


def test_linear_regression_recovers_its_slopes():
    runs, _, _ = simulated(64, 5, [linear], noise=0.01)
    surface = surface_of(Linear(), runs)
    assert isinstance(surface, LinearSurface) and surface.regressors == "weights"
    slopes = surface.coefficients_d * runs.losses_nt.std()
    np.testing.assert_allclose(slopes - slopes.mean(), np.linspace(-1, 1, 5), atol=0.05)


def test_least_squares_without_penalty_are_numpy_s():
    runs, weights, _ = simulated(40, 4, [power])
    design = np.hstack([np.ones((40, 1)), runs.weights_nd])
    expected = np.hstack([np.ones((200, 1)), weights]) @ np.linalg.lstsq(design, runs.losses_nt[:, 0])[0]
    np.testing.assert_allclose(Linear(("weights",), penalty=0.0).fit(runs, np.ones(1)).predict(weights), expected, rtol=1e-8)


def test_effective_data_are_recovered():
    """s_j = 1, .2 and .02 or less with beta = 1: ratios of worths are identified, their size is not."""
    runs, weights, truth = simulated(96, 5, [power], noise=0.003)
    surface = surface_of(EffectiveData(), runs)
    assert isinstance(surface, EffectiveDataSurface)
    log_worth = surface.theta[4:]
    assert log_worth[1] - log_worth[0] == pytest.approx(np.log(0.22 / 1.02), abs=0.4)
    assert np.all(log_worth[2:] < log_worth[1])
    assert np.exp(surface.theta[3]) == pytest.approx(1, abs=0.15)
    assert rank_correlation(EffectiveData().fit(runs, np.ones(1)).predict(weights), truth[:, 0]) > 0.998


def test_a_straight_line_is_effective_data_too():
    runs, weights, truth = simulated(64, 4, [linear], noise=0.01)
    assert np.corrcoef(EffectiveData().fit(runs, np.ones(1)).predict(weights), truth[:, 0])[0, 1] > 0.999


def test_a_broken_run_does_not_bend_the_curve():
    runs, weights, truth = simulated(40, 5, [power], noise=0.01)
    runs.losses_nt[3] += 10 * runs.losses_nt.std()
    for law in (EffectiveData(), Exponential()):
        assert rank_correlation(law.fit(runs, np.ones(1)).predict(weights), truth[:, 0]) > 0.97


def test_trees_see_a_threshold_with_few_runs():
    runs, weights, truth = simulated(32, 4, [threshold])
    predicted = BoostedTrees().fit(runs, np.ones(1)).predict(weights)
    assert np.mean((predicted < truth.mean()) == (truth[:, 0] < truth.mean())) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "linear", "gp", "auto"])
def test_intervals_hold_what_they_promise(name):
    """Of 90%, on mixtures not seen, over twelve studies. The truth is of nobody's form and noisy."""

    def truth(weights_nd):
        return power(weights_nd) + 0.4 * np.sqrt(weights_nd[:, 2] * weights_nd[:, 3])

    law = Auto((EffectiveData(), GaussianProcess(), Linear())) if name == "auto" else LAWS[name]()  # without trees: they are slow
    inside = []
    for seed in range(12):
        runs, weights, true = simulated(40, 4, [truth], noise=0.05, seed=seed)
        observed = true[:, 0] + 0.05 * runs.losses_nt.std() * np.random.default_rng(seed).standard_normal(200)
        low, high = np.quantile(law.fit(runs, np.ones(1)).draws(weights, 300, 0), [0.05, 0.95], axis=0)
        inside.append(np.mean((low <= observed) & (observed <= high)))
    assert 0.85 <= np.mean(inside) <= 0.95
