import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem, fit
from models.laws.law import Law


def data(rows: int = 150, noise: float = 0.0, seed: int = 0, truth=(1.7, 400.0, 1200.0, 0.34, 0.36)) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = {"N": 10 ** random.uniform(6, 10, rows), "D": 10 ** random.uniform(8, 11.5, rows)}
    E, A, B, alpha, beta = truth
    loss = E + A * inputs["N"] ** -alpha + B * inputs["D"] ** -beta
    return inputs, loss * np.exp(noise * random.standard_normal(rows))


def test_the_closed_derivatives_are_those_of_the_prediction():
    law, (inputs, _) = Chinchilla(), data(7)
    values = np.array([1.7, 400.0, 1200.0, 0.34, 0.36])
    log_prediction, jacobian = law.log_prediction_and_jacobian(values, inputs)
    by_complex_step = Law.log_prediction_and_jacobian(law, values, inputs)
    assert log_prediction == pytest.approx(by_complex_step[0], rel=1e-14)
    assert jacobian == pytest.approx(by_complex_step[1], rel=1e-12)


@settings(max_examples=5, deadline=None)
@given(E=st.floats(0.5, 3), alpha=st.floats(0.2, 0.6), beta=st.floats(0.2, 0.6))
def test_coefficients_are_recovered(E: float, alpha: float, beta: float):
    truth = (E, 1e6**alpha, 2e8**beta, alpha, beta)  # terms of about one at the small end
    inputs, loss = data(noise=0.0005, truth=truth)
    found = fit(Problem.of(Chinchilla(), inputs, loss)).coefficients
    assert found["alpha"] == pytest.approx(alpha, abs=0.03)
    assert found["beta"] == pytest.approx(beta, abs=0.03)
    assert found["E"] == pytest.approx(E, abs=0.08)


def test_the_fit_does_not_depend_on_units_or_the_order_of_rows():
    inputs, loss = data(noise=0.005)
    here = fit(Problem.of(Chinchilla(), inputs, loss)).coefficients
    order = np.random.default_rng(1).permutation(len(loss))
    rescaled = {"N": inputs["N"][order] / 1e9, "D": inputs["D"][order] / 1e6}
    there = fit(Problem.of(Chinchilla(), rescaled, loss[order] / np.log(2))).coefficients
    assert there["alpha"] == pytest.approx(here["alpha"], abs=1e-4)
    assert there["beta"] == pytest.approx(here["beta"], abs=1e-4)
    assert there["E"] * np.log(2) == pytest.approx(here["E"], rel=1e-4)
    assert there["A"] * np.log(2) * 1e9 ** there["alpha"] == pytest.approx(here["A"], rel=5e-3)
