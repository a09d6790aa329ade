import numpy as np
import pytest

from models.laws.pooled import DEVIATIONS, PooledChinchilla


def law_and_inputs() -> tuple[PooledChinchilla, np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    law = PooledChinchilla(3, num_params_0=1e5, tokens_0=2e5, loss_0=2.5, deviation_sd=0.03)
    values = np.array([0.3, 0.35, 0.4, 0.3, 0.45, *random.normal(0, 0.1, 3 * len(DEVIATIONS))])
    inputs = {"N": random.uniform(1e4, 1e6, 7), "D": random.uniform(1e4, 1e6, 7), "mixture": np.arange(7) % 3}
    return law, values, inputs


def test_derivatives():
    law, values, inputs = law_and_inputs()
    numeric = [(law.log_prediction(values + step, inputs) - law.log_prediction(values - step, inputs)) / 2e-6 for step in 1e-6 * np.eye(len(values))]
    assert law.log_prediction_and_jacobian(values, inputs)[1] == pytest.approx(np.stack(numeric, axis=1), abs=1e-8)


def test_each_mixture_has_a_chinchilla_law():
    law, values, inputs = law_and_inputs()
    for mixture in range(3):
        c = law.coefficients(values, mixture)
        here = inputs["mixture"] == mixture
        expected = c["E"] + c["A"] * inputs["N"][here] ** -c["alpha"] + c["B"] * inputs["D"][here] ** -c["beta"]
        assert np.exp(law.log_prediction(values, inputs)[here]) == pytest.approx(expected)
