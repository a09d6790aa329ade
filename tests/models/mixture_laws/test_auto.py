import json
from dataclasses import replace

import numpy as np
import pytest

from models.mixture_laws.auto import Auto
from models.mixture_laws.blend import blend_weights
from models.mixture_laws.folds import distinct_mixtures, interleaved_folds, outward_fold
from models.mixture_laws.registry import LAWS
from tests.models.mixture_laws.truths import exponential, linear, power, rank_correlation, simulated, threshold


@pytest.mark.slow
@pytest.mark.parametrize("truth", [exponential, linear, power, threshold])
@pytest.mark.parametrize("runs", [24, 64])
def test_never_worse_than_the_best_law_by_more_than_noise(truth, runs):
    """On true losses of mixtures not seen, mean of three studies."""
    behind = []
    for seed in range(3):
        study, weights, true = simulated(runs, 5, [truth], noise=0.1, seed=seed)
        ranks = {name: rank_correlation(law().fit(study, np.ones(1)).predict(weights), true[:, 0]) for name, law in LAWS.items()}
        behind.append(max(ranks.values()) - ranks["auto"])
    assert np.mean(behind) < 0.02


def test_the_evidence_is_told():
    runs, _, _ = simulated(40, 4, [power, linear])
    fitted = Auto().fit(runs, np.array([1.0, 0.0]))
    laws = {name: it for name, it in fitted.candidates.items() if name != "auto"}
    assert set(laws) == {"effective-data", "gp", "exp", "linear", "lightgbm"}
    assert sum(it["weight"] or 0.0 for it in laws.values()) == pytest.approx(1)
    assert (fitted.candidates["auto"]["spearman_extrapolation"] or 0.0) > 0.9
    assert json.loads(json.dumps(fitted.candidates, allow_nan=False)) == fitted.candidates
    assert max(laws, key=lambda name: laws[name]["weight"] or 0.0) in fitted.sentence


def test_error_is_measured_in_the_noise_between_seeds():
    runs, _, _ = simulated(30, 4, [power])
    again = runs.losses_nt + 0.01 * np.random.default_rng(5).standard_normal(runs.losses_nt.shape)
    twice = replace(runs, weights_nd=np.tile(runs.weights_nd, (2, 1)), losses_nt=np.vstack([runs.losses_nt, again]))
    assert Auto().fit(runs, np.ones(1)).candidates["auto"]["error_over_noise"] is None
    assert 0.5 < (Auto().fit(twice, np.ones(1)).candidates["auto"]["error_over_noise"] or 0.0) < 20


def test_a_loss_without_a_law_is_doubted():
    runs, _, _ = simulated(40, 4, [power])
    noise = replace(runs, losses_nt=np.random.default_rng(0).standard_normal(runs.losses_nt.shape))
    assert any("badly" in warning for warning in Auto().fit(noise, np.ones(1)).warnings)


@pytest.mark.slow
def test_other_losses_are_evidence_but_no_part_of_the_target():
    runs, weights, truth = simulated(30, 4, [power, linear])
    other = replace(runs, losses_nt=runs.losses_nt + np.array([0.0, 100.0]))
    target = np.array([1.0, 0.0])
    np.testing.assert_allclose(Auto().fit(other, target).predict(weights), Auto().fit(runs, target).predict(weights), rtol=1e-6)
    with_nan = replace(runs, losses_nt=np.where(np.eye(30, 2, k=1), np.nan, runs.losses_nt))
    assert rank_correlation(Auto().fit(with_nan, target).predict(weights), truth[:, 0]) > 0.98


def test_weights_go_to_the_law_that_errs_less_and_are_shared_by_twins():
    rng = np.random.default_rng(0)
    good, bad = rng.standard_normal((200, 1)), 5 * rng.standard_normal((200, 1))
    weights = blend_weights(np.stack([0.1 * good, 0.1 * good, 0.1 * bad]), runs=200)[:, 0]
    assert weights[0] == pytest.approx(weights[1]) and weights[2] < 0.1 and weights.sum() == pytest.approx(1)


def test_errors_that_cancel_are_blended():
    error = np.random.default_rng(0).standard_normal((200, 1))
    np.testing.assert_allclose(blend_weights(0.1 * np.stack([error, -error]), runs=200)[:, 0], [0.5, 0.5])


def test_seeds_of_a_mixture_are_held_out_together():
    weights = np.tile(np.random.default_rng(0).dirichlet(np.ones(4), 30), (3, 1))
    mixture, folds = distinct_mixtures(weights), interleaved_folds(weights)
    assert np.sum(folds, axis=0).tolist() == [1] * 90
    for held in [*folds, outward_fold(weights)]:
        assert not set(mixture[held]) & set(mixture[~held])


def test_the_outward_third_is_nearest_to_the_corners():
    weights = np.random.default_rng(0).dirichlet(np.full(4, 0.5), 60)
    held = outward_fold(weights)
    assert held.sum() == 20 and weights[held].max(axis=1).mean() > weights[~held].max(axis=1).mean()
