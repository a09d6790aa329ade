import numpy as np
import pytest

from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem, bootstrap, fit
from models.laws.overtraining import Overtraining

TRUTH = np.array([1.84, 190.0, 212.0, 0.136])  # E, a, b, eta: about those of arXiv 2403.08540 table 2 for C4


def grid() -> dict[str, np.ndarray]:
    C, M = np.meshgrid(np.geomspace(1e16, 1e20, 9), np.array([5.0, 20.0, 80.0, 320.0, 640.0]))
    return {"C": C.ravel(), "M": M.ravel()}


def test_known_coefficients_are_found_again():
    inputs = grid()
    loss = np.exp(Overtraining().log_prediction(TRUTH, inputs))
    assert fit(Problem.of(Overtraining(), inputs, loss)).values == pytest.approx(TRUTH, rel=1e-3)


def test_intervals_hold_the_truth_under_noise():
    inputs, random = grid(), np.random.default_rng(0)
    loss = np.exp(Overtraining().log_prediction(TRUTH, inputs) + 0.003 * random.standard_normal(len(inputs["C"])))
    draws = bootstrap(fit(Problem.of(Overtraining(), inputs, loss)), 200, seed=0)
    low, high = np.quantile(draws, [0.01, 0.99], axis=0)
    assert ((low < TRUTH) & (high > TRUTH)).all()


def test_it_is_chinchillas_law_with_equal_exponents():
    inputs = grid()
    E, a, b, eta = TRUTH
    N, D = (inputs["C"] / (6 * inputs["M"])) ** 0.5, (inputs["C"] * inputs["M"] / 6) ** 0.5
    same = Chinchilla().log_prediction(np.array([E, a * 6**-eta, b * 6**-eta, 2 * eta, 2 * eta]), {"N": N, "D": D})
    assert Overtraining().log_prediction(TRUTH, inputs) == pytest.approx(same, rel=1e-12)


def test_the_jacobian_is_exact():
    inputs = grid()
    _, exact = Overtraining().log_prediction_and_jacobian(TRUTH, inputs)
    numeric = [
        (Overtraining().log_prediction(TRUTH * up, inputs) - Overtraining().log_prediction(TRUTH * (2 - up), inputs)) / (2e-6 * value)
        for up, value in zip(1 + 1e-6 * np.eye(4), TRUTH, strict=True)
    ]
    assert exact == pytest.approx(np.stack(numeric, axis=1), rel=1e-4)
