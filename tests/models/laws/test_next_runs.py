import numpy as np
import pytest

from models.laws.extrapolation import extrapolation
from models.laws.next_runs import in_words, options
from tests.models.laws.simulated_study import random_truth, simulated_runs


def found_options(fitted):
    return options(fitted, log_difference(fitted), 0, 1, 1e7, 2e8, 0.9)


def log_difference(fitted) -> np.ndarray:
    draws = np.log(fitted.draws_at(np.array([1e7]), np.array([2e8]))[:, 0])
    return draws[:, 0] - draws[:, 1]


@pytest.fixture(scope="module")
def fitted():
    random = np.random.default_rng(0)
    return extrapolation(simulated_runs(random, random_truth(random, 3, spread=0.01)), 60, seed=0)


def test_further_runs_narrow_the_difference_and_cost_what_they_take(fitted):
    found = found_options(fitted)
    now = np.ptp(np.quantile(log_difference(fitted), [0.05, 0.95])) / 2 / 1.645
    assert all(0 < option.difference_sd < now for option in found)
    assert all(0 <= option.chance_to_tell <= 1 for option in found)
    assert [option.train_flops for option in found] == sorted(option.train_flops for option in found)
    seeds = next(option for option in found if "seeds" in option.words)
    assert len(seeds.runs.loss) == 2 * 6 * 2  # mixtures x cells x seeds
    pair = fitted.runs.where(fitted.runs.mixture < 2)
    assert seeds.train_flops == pytest.approx((6 * pair.num_params * pair.tokens).sum())


def test_two_sizes_tell_more_than_one(fitted):
    found = {option.words.split(",")[0]: option for option in found_options(fitted)}
    assert found["two further sizes"].difference_sd < found["one further size"].difference_sd


@pytest.mark.slow
def test_the_narrowing_that_is_promised_is_what_more_seeds_bring():
    """The linear estimate of what two more seeds bring, against studies that have them."""
    promised, brought = [], []
    for replicate in range(3):
        random = np.random.default_rng([5, replicate])
        truth = random_truth(random, 2)
        few, many = (simulated_runs(np.random.default_rng([6, replicate]), truth, seeds=seeds, seed_sd=0.02) for seeds in (2, 4))
        spreads = [log_difference(extrapolation(runs, 120, seed=0)).std() for runs in (few, many)]
        option = next(o for o in found_options(extrapolation(few, 120, seed=0)) if "seeds" in o.words)
        promised.append(option.difference_sd / spreads[0])
        brought.append(spreads[1] / spreads[0])
    assert np.mean(promised) == pytest.approx(np.mean(brought), abs=0.25)


def test_the_recommendation_names_cost_and_chance(fitted):
    found = found_options(fitted)
    words = in_words(found, "clean", "raw", 1e12, 0.9)
    assert words.startswith("To tell clean from raw: ") and "FLOPs" in words and "chance" in words
