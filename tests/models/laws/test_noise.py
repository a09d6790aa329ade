import numpy as np
import pytest

from models.laws.noise import Runs, deviation_variance, misfit_variance, seed_standard_deviation, seed_variance, signal_to_noise
from tests.models.laws.simulated_study import random_truth, simulated_runs


def many_runs(**how: float) -> Runs:
    random = np.random.default_rng(0)
    return simulated_runs(random, random_truth(random, 5), sizes=tuple(np.geomspace(1e4, 1e6, 12)), seeds=6, **how)


def test_noise_between_seeds_is_measured_with_its_common_part():
    found = seed_variance(many_runs(seed_sd=0.01, common_share=0.6))
    assert found.value**0.5 == pytest.approx(0.01, rel=0.15)
    assert found.common_share == pytest.approx(0.6, abs=0.12)
    assert seed_variance(many_runs(seed_sd=0.01, common_share=0.0)).common_share < 0.1


def test_the_noise_of_a_run_has_the_loss_unit():
    runs = many_runs(seed_sd=0.01, misfit_sd=0.0)
    sd, degrees = seed_standard_deviation(runs)
    in_nats, _ = seed_standard_deviation(Runs(runs.mixture, runs.cell, runs.seed, runs.num_params, runs.tokens, runs.loss * np.log(2)))
    assert degrees == 12 * 2 * 5 * 5
    assert sd is not None and in_nats == pytest.approx(sd * np.log(2))
    assert sd == pytest.approx(0.01 * runs.loss.mean(), rel=0.2)


def test_one_seed_measures_no_noise():
    runs = many_runs().where(many_runs().seed == 0)
    assert seed_standard_deviation(runs) == (None, 0)
    assert seed_variance(runs).degrees == 1  # its prior's
    assert signal_to_noise(runs, None) is None


def test_misfit_is_what_seeds_do_not_explain():
    runs = many_runs(seed_sd=0.01)
    random = np.random.default_rng(1)
    seeds_only = 0.01 * random.standard_normal(len(runs.loss))
    misfit = 0.02 * random.standard_normal(runs.group.max() + 1)[runs.group]
    without = misfit_variance(runs, seeds_only, 0.0, seed_variance(runs))
    with_it = misfit_variance(runs, seeds_only + misfit, 0.0, seed_variance(runs))
    assert without.value**0.5 < 0.004
    assert with_it.value**0.5 == pytest.approx(0.02, rel=0.2)


def test_signal_to_noise_grows_with_the_spread_of_mixtures():
    random = np.random.default_rng(0)
    alike, apart = (simulated_runs(np.random.default_rng(1), random_truth(random, 4, spread=spread)) for spread in (0.0, 0.1))
    noise = (seed_standard_deviation(runs)[0] for runs in (alike, apart))
    ratios = [signal_to_noise(runs, sd) for runs, sd in zip((alike, apart), noise, strict=True)]
    assert ratios[0] is not None and ratios[1] is not None and ratios[0] < 3 < ratios[1]
    assert deviation_variance(alike).value < deviation_variance(apart).value
