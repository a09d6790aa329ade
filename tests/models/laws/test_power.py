import numpy as np
import pytest

from models.laws.core import Problem, fit
from models.laws.power import Power


@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.9])
def test_coefficients_are_recovered_for_any_input(alpha: float):
    x = np.geomspace(1e18, 1e23, 60)
    fitted = fit(Problem.of(Power("train_flops"), {"train_flops": x}, 1.6 + 1.2 * (x / 1e18) ** -alpha))
    assert fitted.coefficients["alpha"] == pytest.approx(alpha, rel=0.01)
    assert fitted.coefficients["E"] == pytest.approx(1.6, rel=0.01)
