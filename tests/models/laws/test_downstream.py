from typing import Any

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.chinchilla import Chinchilla
from models.laws.downstream import Downstream, ExponentialError, SigmoidAccuracy
from models.laws.estimator import Options

SCALING = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])  # E, A, B, alpha, beta
ERROR = np.array([0.8, 3.0, 1.1])  # eps, k, gamma
ACCURACY = np.array([0.6, 4.0, 2.6, 0.25])  # a, k, L0, b


def runs(noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(2e7, 3e9, 7), np.geomspace(1e9, 3e11, 6)))
    loss = np.exp(Chinchilla().log_prediction(SCALING, {"N": N, "D": D}) + 0.1 * noise * random.standard_normal(len(N)))
    found = {"N": N, "D": D, "loss": loss}
    for law, truth in ((ExponentialError("error"), ERROR), (SigmoidAccuracy("accuracy"), ACCURACY)):
        found[law.response] = np.exp(law.log_prediction(truth, found)) + noise * random.standard_normal(len(N))
    return found


def fitted(columns: dict[str, np.ndarray], *mapped: str, form: str | None = None, **options: Any):
    given: dict[str, Any] = {"bootstrap": 0} | options
    return Downstream(mapped, form).estimate(columns, Options(**given))


def test_known_coefficients_are_found_again():
    error, accuracy = fitted(runs(), "loss", "error"), fitted(runs(), "loss", "accuracy")
    assert error.coefficients == pytest.approx(dict(zip(("eps", "k", "gamma"), ERROR, strict=True)), rel=1e-3)
    assert accuracy.coefficients == pytest.approx(dict(zip(("a", "k", "L0", "b"), ACCURACY, strict=True)), rel=1e-3)


def test_the_same_law_through_its_complement():
    columns = runs()
    columns["accuracy"] = 1 - columns["error"]
    assert fitted(columns, "loss", "accuracy", form="exponential").coefficients["gamma"] == pytest.approx(ERROR[2], rel=1e-3)
    columns = runs()
    columns["error"] = 1 - columns["accuracy"]
    assert fitted(columns, "loss", "error", form="sigmoid").coefficients["L0"] == pytest.approx(ACCURACY[2], rel=1e-3)


def test_two_steps_predict_from_parameters_and_tokens():
    estimate = fitted(runs(noise=0.005), "N", "D", "loss", "accuracy", bootstrap=100)
    accuracy, loss = estimate.predictions({"N": 1e10, "D": 1e12})
    point = {"N": np.array([1e10]), "D": np.array([1e12])}
    true_loss = np.exp(Chinchilla().log_prediction(SCALING, point))
    true_accuracy = np.exp(SigmoidAccuracy("accuracy").log_prediction(ACCURACY, {"loss": true_loss}))
    assert (accuracy.response, loss.response) == ("accuracy", "loss")
    assert loss.value == pytest.approx(true_loss[0], rel=0.01)
    assert accuracy.value == pytest.approx(true_accuracy[0], abs=0.01)
    assert accuracy.draws.std() > 0 and len(accuracy.draws) == 100
    assert estimate.metrics.keys() >= {"mean_absolute_error", "loss_mean_relative_error"}


def test_a_given_chance_level_is_kept():
    for chance in (0.25, 0.0):
        assert fitted(runs(noise=0.01), "loss", "accuracy", fixed={"b": chance}).coefficients["b"] == chance


def test_units_do_not_matter():
    columns = runs(noise=0.01)
    percent = columns | {"accuracy": 100 * columns["accuracy"]}
    one, hundred = (fitted(table, "loss", "accuracy").coefficients for table in (columns, percent))
    assert hundred["a"] == pytest.approx(100 * one["a"], rel=1e-3)
    assert hundred["L0"] == pytest.approx(one["L0"], rel=1e-4)


@pytest.mark.parametrize("mapped", [("loss", "error"), ("loss", "accuracy")])
def test_benchmarks_that_are_all_equal_and_too_few_runs_are_refused(mapped):
    columns = runs()
    with pytest.raises(StudyError, match=f"All 42 values of {mapped[1]} are equal"):
        fitted(columns | {mapped[1]: np.full(42, 0.25)}, *mapped)
    with pytest.raises(StudyError, match="free parameters and only 2 usable rows"):
        fitted({name: column[:2] for name, column in columns.items()}, *mapped)


@pytest.mark.slow
@pytest.mark.parametrize("response", ["error", "accuracy"])
def test_intervals_of_predictions_cover_the_truth(response):
    """90% intervals of 100 studies, at a loss inside of those seen: .82 to .97 is what chance allows of .90, and a bootstrap of 42 runs."""
    law, truth = (ExponentialError("error"), ERROR) if response == "error" else (SigmoidAccuracy("accuracy"), ACCURACY)
    actual = np.exp(law.log_prediction(truth, {"loss": np.array([2.3])}))[0]
    covered = []
    for seed in range(100):
        draws = fitted(runs(noise=0.01, seed=seed), "loss", response, bootstrap=60).predictions({"loss": 2.3})[0].draws
        low, high = np.quantile(draws, [0.05, 0.95])
        covered.append(low <= actual <= high)
    assert 0.82 <= np.mean(covered) <= 0.97
