from collections.abc import Mapping

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem
from models.laws.estimator import CLUSTER, WEIGHT, Options
from models.laws.fixed import FixedLaw
from models.laws.law import Array, Law, Parameter
from models.laws.parametric import Parametric
from models.laws.power import Power


class Saturation(Law):
    """accuracy = x / (x + half), with absolute residuals: an accuracy may be 0."""

    name, inputs, response, residual = "saturation", ("x",), "accuracy", "absolute"
    parameters = (Parameter("half", "log"),)

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return np.log(inputs["x"] / (inputs["x"] + values[0]))

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        return np.array([[inputs["x"].mean()]])


class TwoValleys(Law):
    """L = 2 + x (s^4 - 2 s^2 + s / 5): over s there is a shallow valley near .97 and a deep one near -1.02."""

    name, inputs = "two-valleys", ("x",)
    parameters = (Parameter("s"),)

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return np.log(2 + inputs["x"] * (values[0] ** 4 - 2 * values[0] ** 2 + values[0] / 5))

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        return np.array([[0.9]])


def chinchilla_columns(rows: int = 60, noise: float = 0.003) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    N, D = 10 ** random.uniform(7, 9.5, rows), 10 ** random.uniform(8.5, 11, rows)
    return {"N": N, "D": D, "loss": (1.7 + 400 * N**-0.34 + 1200 * D**-0.36) * np.exp(noise * random.standard_normal(rows))}


def test_given_coefficients_are_kept_in_every_draw():
    found = Parametric(Chinchilla()).estimate(chinchilla_columns(), Options(fixed={"alpha": 0.34, "E": 1.7}, bootstrap=20))
    assert found.coefficients["alpha"] == 0.34 and (found.draws["alpha"] == 0.34).all() and (found.draws["E"] == 1.7).all()
    assert found.coefficients["A"] == pytest.approx(400, rel=0.03)
    assert np.ptp(found.draws["beta"]) > 0
    assert list(found.coefficients) == ["E", "A", "B", "alpha", "beta"]


def test_the_derivatives_of_a_law_with_given_parameters_are_its_own():
    law = FixedLaw(Chinchilla(), {"B": 1200.0, "alpha": 0.34})
    values, columns = np.array([1.7, 400.0, 0.36]), chinchilla_columns(5)
    closed, by_step = law.log_prediction_and_jacobian(values, columns), Law.log_prediction_and_jacobian(law, values, columns)
    assert closed[0] == pytest.approx(by_step[0]) and closed[1] == pytest.approx(by_step[1], rel=1e-10)


def test_a_law_whose_coefficients_are_all_given_is_evaluated_on_any_number_of_rows():
    columns = {name: column[:2] for name, column in chinchilla_columns(noise=0.0).items()}
    fixed = dict(zip(Chinchilla().names, (1.7, 400.0, 1200.0, 0.34, 0.36), strict=True))
    found = Parametric(Chinchilla()).estimate(columns, Options(fixed=fixed, bootstrap=3))
    assert found.objective == pytest.approx(0, abs=1e-25)
    assert found.predict(columns) == pytest.approx(columns["loss"], rel=1e-12)
    (one,) = found.predictions({"N": 1e9, "D": 1e10})
    assert one.draws.tolist() == [one.value] * 3


def test_a_given_start_reaches_a_lower_valley_and_that_is_said():
    x = np.linspace(0.1, 1, 20)
    columns = {"x": x, "loss": 2 + x * (1.02**4 - 2 * 1.02**2 - 1.02 / 5) + 0.01 * np.sin(40 * x)}
    alone = Parametric(TwoValleys(), delta=1.0).estimate(columns, Options(bootstrap=0))
    with_start = Parametric(TwoValleys(), delta=1.0).estimate(columns, Options(bootstrap=0, starts={"s": -0.5}))
    assert alone.coefficients["s"] > 0 > with_start.coefficients["s"]
    assert with_start.objective < alone.objective
    assert "the given start ended lower" in " ".join(with_start.warnings)
    worse = Parametric(TwoValleys(), delta=1.0).estimate({**columns, "loss": columns["loss"]}, Options(bootstrap=0, starts={"s": 1.2}))
    assert worse.objective == pytest.approx(alone.objective) and not any("start" in warning for warning in worse.warnings)


def test_responses_that_may_be_zero_are_fitted_by_absolute_residuals():
    x = np.array([0.0, 1.0, 2.0, 5.0, 10.0, 50.0]) + 1e-12
    columns = {"x": x, "accuracy": np.where(x > 0.5, x / (x + 4), 0.0)}
    found = Parametric(Saturation(), delta=0.01).estimate(columns, Options(bootstrap=5))
    assert found.coefficients["half"] == pytest.approx(4, rel=1e-4)
    assert "mean_relative_error" not in found.metrics and found.metrics["rmse"] < 1e-5
    assert found.predictions({"x": 4.0})[0].response == "accuracy"
    problem = Problem.of(Saturation(), {"x": x}, columns["accuracy"] + 0.05)
    objective, gradient = problem.objective(np.array([1.0]))
    assert gradient[0] == pytest.approx((problem.objective(np.array([1.0 + 1e-6]))[0] - objective) / 1e-6, rel=1e-3)


def test_rows_that_weigh_nothing_do_not_matter():
    columns = chinchilla_columns()
    spoilt = columns | {"loss": np.where(np.arange(60) < 8, 9.0, columns["loss"]), WEIGHT: np.where(np.arange(60) < 8, 0.0, 1.0)}
    rest = {name: column[8:] for name, column in columns.items()}
    weighted, without = (Parametric(Chinchilla(), delta=0.1).estimate(it, Options(bootstrap=0)) for it in (spoilt, rest))
    assert weighted.coefficients == pytest.approx(without.coefficients, rel=1e-4)


def test_clusters_are_drawn_whole():
    columns = {"x": np.tile(np.geomspace(1e3, 1e6, 6), 8), "loss": np.empty(48), CLUSTER: np.repeat(np.arange(8), 6)}
    of_run = np.random.default_rng(0).normal(0, 0.01, 8)[columns[CLUSTER]]
    columns["loss"] = (1.5 + 30 * columns["x"] ** -0.3) * np.exp(of_run)
    apart = {name: column for name, column in columns.items() if name != CLUSTER}
    law, options, point = Parametric(Power("x"), 0.1), Options(bootstrap=80), {"x": np.array([1e5])}
    by_run, by_row = (law.estimate(it, options).draws_at(point).std() for it in (columns, apart))
    assert by_run > 1.3 * by_row


def test_inputs_that_do_not_vary_are_refused_unless_their_coefficients_are_given():
    columns = chinchilla_columns() | {"N": np.full(60, 1e8)}
    with pytest.raises(StudyError, match="same N"):
        Parametric(Chinchilla()).estimate(columns, Options(bootstrap=0))
    assert Parametric(Chinchilla()).estimate(columns, Options(bootstrap=0, fixed={"A": 400.0, "alpha": 0.34})).objective > 0
