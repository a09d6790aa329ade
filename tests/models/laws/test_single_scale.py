import numpy as np
import pytest

from models.laws.extrapolation import extrapolation
from models.laws.noise import Runs
from models.laws.single_scale import deviations, of_complete_cells, single_scale, walk_variance
from tests.models.laws.simulated_study import random_truth, simulated_runs

TARGET = (np.array([1e7]), np.array([2e8]))
LARGEST = (np.array([3e5]), np.array([9e5]))


def study(mixtures: int = 4, seed: int = 0, **how) -> Runs:
    random = np.random.default_rng(seed)
    return simulated_runs(random, random_truth(random, mixtures), **how)


def log_draws(runs: Runs, scale=TARGET, **how) -> np.ndarray:
    found = single_scale(extrapolation(runs, 60, seed=0))
    assert found is not None
    return np.log(found.draws_at(*scale, **how))[:, 0]


def test_deviations_at_the_largest_size_are_kept_with_the_level_of_the_law():
    runs = study()
    fitted = extrapolation(runs, 60, seed=0)
    found = single_scale(fitted)
    assert found is not None
    assert found.deviation_m == pytest.approx(deviations(runs.where(runs.num_params == 3e5))) and found.deviation_m.sum() == pytest.approx(0)
    draws = np.log(found.draws_at(*TARGET))[:, 0]
    assert np.argsort(draws.mean(0)).tolist() == np.argsort(found.deviation_m).tolist()
    assert draws.mean(1) == pytest.approx(np.log(fitted.draws_at(*TARGET))[:, 0].mean(1))


def test_the_further_the_target_the_wider_are_differences():
    near, far = (np.ptp(np.quantile(log_draws(study(), scale)[:, 0] - log_draws(study(), scale)[:, 1], [0.05, 0.95])) for scale in (LARGEST, TARGET))
    assert far > 1.3 * near


def test_the_walk_is_measured_beyond_noise():
    random = np.random.default_rng(0)
    steps, mixtures, noise_sd = 40, 30, 0.02
    walk = np.cumsum(0.03 * random.standard_normal((steps, mixtures)), axis=0)
    seen = walk + noise_sd * random.standard_normal(walk.shape)
    seen -= seen.mean(1, keepdims=True)
    found = walk_variance(seen, np.full(seen.shape, noise_sd**2), np.full(steps - 1, 2.0), prior=1e-3)
    assert (2 * found.value) ** 0.5 == pytest.approx(0.03, rel=0.1)
    alone = walk_variance(seen[:1], np.full((1, mixtures), noise_sd**2), np.array([]), prior=1e-4)
    assert alone.value == 1e-4


def test_only_budgets_that_all_mixtures_have_are_compared():
    runs = study(mixtures=3)
    lacking = runs.where(~((runs.mixture == 0) & (runs.cell == runs.cell.max())))
    assert set(of_complete_cells(lacking).cell) == set(range(5))
    found, whole = (single_scale(extrapolation(r, 20, seed=0)) for r in (lacking, runs))
    assert found is not None and whole is not None and found.log_compute < whole.log_compute
    assert single_scale(extrapolation(runs.where((runs.mixture == 0) ^ (runs.cell % 2 == 0)), 20, seed=0)) is None


def test_seeds_add_their_noise():
    assert log_draws(study(seed_sd=0.05), seeds=1).std() > log_draws(study(seed_sd=0.05)).std()


def test_one_mixture_is_at_the_level():
    assert log_draws(study(mixtures=1)).shape == (60, 1)
