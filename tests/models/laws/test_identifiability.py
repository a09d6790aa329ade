import numpy as np

from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem, fit
from models.laws.identifiability import warnings
from models.laws.power import Power
from tests.models.laws.test_chinchilla import data


def warned(inputs: dict[str, np.ndarray], loss: np.ndarray) -> str:
    return " ".join(warnings(fit(Problem.of(Chinchilla(), inputs, loss))))


def test_a_sound_fit_has_no_warnings():
    assert warned(*data(noise=0.002)) == ""


def test_one_size_leaves_alpha_open():
    inputs, _ = data()
    inputs = inputs | {"N": np.full(150, 1e8)}
    loss = (2.0 + 1200 * inputs["D"] ** -0.36) * np.exp(0.002 * np.random.default_rng(0).standard_normal(150))
    text = warned(inputs, loss)
    assert "All runs have the same N" in text
    assert "in a flat valley" in text


def test_two_budgets_are_too_few():
    inputs, _ = data()
    inputs = inputs | {"D": np.where(np.arange(150) % 2, 1e9, 1e10)}
    loss = 1.7 + 400 * inputs["N"] ** -0.34 + 1200 * inputs["D"] ** -0.36
    assert "only 2 values of D" in warned(inputs, loss * np.exp(0.002 * np.random.default_rng(0).standard_normal(150)))


def test_a_law_that_does_not_describe_the_data_reaches_a_bound():
    x = np.geomspace(1, 10, 50)
    loss = (1 + x**-6) * np.exp(0.001 * np.random.default_rng(0).standard_normal(50))
    assert "alpha has reached its bound 3" in " ".join(warnings(fit(Problem.of(Power("x"), {"x": x}, loss))))


def test_a_curve_that_does_not_flatten_leaves_E_open():
    x = np.geomspace(1e3, 1e6, 30)
    loss = 20 * x**-0.2 * np.exp(0.005 * np.random.default_rng(0).standard_normal(30))
    assert "E lies in a flat valley" in " ".join(warnings(fit(Problem.of(Power("x"), {"x": x}, loss))))


def test_a_term_that_has_vanished_is_told():
    """The loss falls ever faster: there is no floor in sight."""
    x = np.geomspace(1e3, 1e7, 30)
    loss = 30 * x**-0.1 * np.exp(-0.5 * (np.log(x / 1e3) / np.log(1e4)) ** 2)
    found = " ".join(warnings(fit(Problem.of(Power("x"), {"x": x}, loss))))
    assert "E has ended at" in found and "changes no prediction" in found


def test_inputs_that_vary_together_are_told():
    x = np.geomspace(1e6, 1e9, 30)
    loss = 1.7 + 400 * x**-0.34 + 0.002 * np.sin(np.arange(30))
    found = " ".join(warnings(fit(Problem.of(Chinchilla(), {"N": x, "D": 20 * x}, loss))))
    assert "N and D vary together" in found
