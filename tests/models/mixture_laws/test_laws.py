"""What every mixture law must do, by the name that the command line gives it."""

from dataclasses import replace

import numpy as np
import pytest

from models.frozen import StudyError
from models.mixture_laws.law import MixtureRuns
from models.mixture_laws.registry import LAWS
from tests.models.mixture_laws.truths import exponential, indifferent, linear, power, rank_correlation, simulated, threshold

EACH = pytest.mark.parametrize("name", LAWS)
BOTH = np.array([0.5, 0.5])


def test_the_names_of_the_command_line():
    assert set(LAWS) == {"auto", "exp", "linear", "lightgbm", "gp"}


@EACH
def test_the_order_of_rows_columns_and_losses_is_nothing(name):
    runs, weights, _ = simulated(30, 4, [exponential, power])
    fitted = LAWS[name]().fit(runs, np.array([0.3, 0.7]))
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(30), rng.permutation(4)
    domains = tuple(runs.domains[d] for d in columns)
    turned = MixtureRuns(domains, runs.loss_names[::-1], runs.weights_nd[rows][:, columns], runs.losses_nt[rows][:, ::-1])
    again = LAWS[name]().fit(turned, np.array([0.7, 0.3]))
    np.testing.assert_array_equal(again.predict(weights[:, columns]), fitted.predict(weights))
    np.testing.assert_array_equal(again.draws(weights[:, columns], 5, 3), fitted.draws(weights, 5, 3))
    assert again.candidates == fitted.candidates


@EACH
def test_the_order_of_twin_columns_is_nothing(name):
    """Two domains with the same shares in all runs: which comes first must not matter."""
    runs, weights, _ = simulated(30, 3, [power])

    def twins(weights_nd):
        return np.hstack([weights_nd[:, :1] / 2, weights_nd[:, :1] / 2, weights_nd[:, 1:]])

    predictions = []
    for domains in (("a", "b", "c", "d"), ("b", "a", "c", "d")):
        fitted = LAWS[name]().fit(MixtureRuns(domains, runs.loss_names, twins(runs.weights_nd), runs.losses_nt), np.ones(1))
        predictions.append(fitted.predict(twins(weights)))
    np.testing.assert_array_equal(*predictions)


@EACH
def test_the_unit_of_the_loss_is_nothing(name):
    runs, weights, _ = simulated(30, 4, [exponential])
    fitted = LAWS[name]().fit(runs, np.ones(1)).predict(weights)
    in_bits = LAWS[name]().fit(replace(runs, losses_nt=runs.losses_nt / np.log(2)), np.ones(1)).predict(weights)
    np.testing.assert_allclose(in_bits * np.log(2), fitted, rtol=1e-4)


@EACH
def test_draws_are_about_the_prediction_and_repeatable(name):
    runs, weights, _ = simulated(30, 4, [power])
    fitted = LAWS[name]().fit(runs, np.ones(1))
    draws = fitted.draws(np.vstack([weights, weights[:1]]), 400, seed=1)
    assert draws.shape == (400, 201) and draws.std(axis=0).min() > 0
    np.testing.assert_allclose(draws[:, 0], draws[:, -1], rtol=1e-12)
    np.testing.assert_array_equal(draws, fitted.draws(np.vstack([weights, weights[:1]]), 400, seed=1))
    off = (draws.mean(axis=0)[:200] - fitted.predict(weights)) / draws.std(axis=0)[:200]
    assert np.abs(off).max() < 5 / np.sqrt(400)


@pytest.mark.slow
@EACH
def test_studies_that_tell_little_are_fitted_all_the_same(name):
    for runs, target in [
        (simulated(20, 3, [linear])[0], np.ones(1)),
        (simulated(6, 2, [linear])[0], np.ones(1)),
        (simulated(32, 17, [power])[0], np.ones(1)),
        (simulated(40, 5, [indifferent, power])[0], BOTH),
        (simulated(40, 5, [threshold])[0], np.ones(1)),
    ]:
        fitted = LAWS[name]().fit(runs, target)
        assert np.isfinite(fitted.predict(runs.weights_nd)).all() and np.isfinite(fitted.draws(runs.weights_nd, 20, 0)).all()


@EACH
def test_runs_in_twos(name):
    """Every run twice, as with a copied table: seeds of one mixture are never on both sides of a split, so that errors stay honest."""
    runs, weights, truth = simulated(20, 4, [power])
    twice = replace(runs, weights_nd=np.tile(runs.weights_nd, (2, 1)), losses_nt=np.tile(runs.losses_nt, (2, 1)))
    fitted = LAWS[name]().fit(twice, np.ones(1))
    assert np.isfinite(fitted.predict(weights)).all()
    spread = fitted.draws(weights, 200, 0).std(axis=0).mean()
    assert spread > 0.3 * np.abs(fitted.predict(weights) - truth[:, 0]).mean()


@EACH
def test_a_domain_without_runs_is_told(name):
    runs, weights, truth = simulated(40, 4, [power])
    more = MixtureRuns((*runs.domains, "poems"), runs.loss_names, np.hstack([runs.weights_nd, np.zeros((40, 1))]), runs.losses_nt)
    fitted = LAWS[name]().fit(more, np.ones(1))
    assert any("poems" in warning for warning in fitted.warnings)
    assert rank_correlation(fitted.predict(np.hstack([weights, np.zeros((200, 1))])), truth[:, 0]) > 0.9


@EACH
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs: replace(runs, losses_nt=np.ones_like(runs.losses_nt)), "same target loss"),
        (lambda runs: replace(runs, losses_nt=np.where(np.arange(20)[:, None] == 7, np.nan, runs.losses_nt)), "loss_0 of run 7 is nan"),
        (lambda runs: replace(runs, weights_nd=runs.weights_nd * 1.02), "sum to 1.02"),
        (lambda runs: replace(runs, weights_nd=runs.weights_nd[:2], losses_nt=runs.losses_nt[:2]), "at least 5 different mixtures"),
        (lambda runs: replace(runs, weights_nd=np.tile(runs.weights_nd[:1], (20, 1))), "there are 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(name, change, words):
    runs, _, _ = simulated(20, 3, [linear])
    with pytest.raises(StudyError, match=words):
        LAWS[name]().fit(change(runs), np.ones(1))


@EACH
def test_a_target_without_losses_is_refused(name):
    with pytest.raises(StudyError, match="weighs no loss"):
        LAWS[name]().fit(simulated(20, 3, [linear])[0], np.zeros(1))
