import numpy as np
import pytest

from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem, fit
from models.laws.power import Power
from models.laws.valley import valley


def test_the_minimum_is_in_the_middle_and_the_walls_rise():
    random = np.random.default_rng(0)
    x = {"N": 10 ** random.uniform(7, 9.5, 50), "D": 10 ** random.uniform(8.5, 11, 50)}
    loss = (1.7 + 400 * x["N"] ** -0.34 + 1200 * x["D"] ** -0.36) * np.exp(0.005 * random.standard_normal(50))
    fitted = fit(Problem.of(Chinchilla(), x, loss, delta=0.01))
    found = valley(fitted)
    middle = len(found.values[0]) // 2
    assert found.objective.shape == (len(found.values[0]), len(found.values[1]))
    assert found.objective[middle, middle] == pytest.approx(fitted.objective, rel=1e-6)
    assert found.objective.min() >= fitted.objective * (1 - 1e-6)
    assert [values[middle] for values in found.values] == pytest.approx([fitted.coefficients[name] for name in found.names])
    corners = found.objective[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners > 1.01 * fitted.objective).all()


def test_of_a_law_with_one_parameter_it_is_a_line():
    from models.laws.fixed import FixedLaw

    x = {"C": np.geomspace(1e3, 1e7, 30)}
    loss = 1.5 + 30 * x["C"] ** -0.3 + 0.002 * np.cos(np.arange(30))
    found = valley(fit(Problem.of(FixedLaw(Power("C"), {"E": 1.5, "A": 30.0}), x, loss)))
    assert found.names == ("alpha",) and found.objective.ndim == 1
    assert found.objective.argmin() == len(found.objective) // 2
