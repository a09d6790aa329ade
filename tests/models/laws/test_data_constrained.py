import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.chinchilla import Chinchilla
from models.laws.data_constrained import DataConstrained
from models.laws.estimator import Options
from models.laws.law import Array
from models.laws.parametric import Parametric

TRUTH = {"A": 500.0, "B": 1500.0, "E": 1.85, "alpha": 0.35, "beta": 0.36, "R_D": 12.0, "R_N": 6.0}
VALUES = np.array(list(TRUTH.values()))


def inputs(rows: int = 120, seed: int = 0) -> dict[str, Array]:
    """Up to 64 epochs, and models up to a hundred times larger than is optimal for their unique tokens."""
    random = np.random.default_rng(seed)
    tokens = 10 ** random.uniform(9.5, 11.5, rows)
    return {"N": 10 ** random.uniform(8, 10.5, rows), "D": tokens, "U": tokens / 2 ** random.uniform(-1, 6, rows)}


def test_the_closed_derivatives_are_those_of_the_prediction():
    law, columns = DataConstrained(), inputs(30)
    _, jacobian = law.log_prediction_and_jacobian(VALUES, columns)
    for k, step in enumerate(1e-6 * VALUES):
        sides = [law.log_prediction(VALUES + sign * step * np.eye(7)[k], columns) for sign in (1, -1)]
        numeric = (sides[0] - sides[1]) / (2 * step)
        assert jacobian[:, k] == pytest.approx(numeric, rel=1e-5, abs=1e-7 * np.abs(numeric).max())
        assert np.abs(numeric).max() > 0


def test_without_repetition_it_is_chinchillas_law():
    columns = inputs() | {"N": np.full(120, 1e5)}
    columns["U"] = 3 * columns["D"]
    plain = Chinchilla().log_prediction(np.array([TRUTH[name] for name in Chinchilla().names]), columns)
    assert DataConstrained().log_prediction(VALUES, columns) == pytest.approx(plain, rel=1e-13)


def test_repeated_tokens_are_worth_less_and_less():
    epochs = np.array([1.0, 2.0, 4.0, 16.0, 64.0, 1000.0])
    columns = {"N": np.full(6, 1e8), "D": 1e10 * epochs, "U": np.full(6, 1e10)}
    repeated, fresh = (np.exp(DataConstrained().log_prediction(VALUES, it)) for it in (columns, columns | {"U": columns["D"]}))
    assert (np.diff(repeated) < 0).all() and repeated[-2] - repeated[-1] < 0.001
    cost = repeated - fresh
    assert cost[0] == 0 and (np.diff(cost) > 0).all()
    assert cost[2] < 0.02 < 0.1 < cost[-1]


def test_coefficients_are_recovered():
    columns = inputs()
    loss = np.exp(DataConstrained().log_prediction(VALUES, columns) + 0.001 * np.random.default_rng(1).standard_normal(120))
    found = Parametric(DataConstrained()).estimate({**columns, "loss": loss}, Options(bootstrap=0))
    for name in ("E", "alpha", "beta"):
        assert found.coefficients[name] == pytest.approx(TRUTH[name], rel=0.06)
    for name in ("R_D", "R_N"):
        assert found.coefficients[name] == pytest.approx(TRUTH[name], rel=0.15)


def test_units_do_not_matter():
    columns = inputs(80)
    loss = np.exp(DataConstrained().log_prediction(VALUES, columns) + 0.003 * np.random.default_rng(2).standard_normal(80))
    in_units = {"N": columns["N"] / 1e6, "D": columns["D"] / 1e9, "U": columns["U"] / 1e9}
    here, there = (Parametric(DataConstrained()).estimate({**it, "loss": loss}, Options(bootstrap=0)) for it in (columns, in_units))
    assert there.objective == pytest.approx(here.objective, rel=1e-5)
    assert there.predict(in_units) == pytest.approx(here.predict(columns), rel=1e-4)


def test_runs_without_repetition_do_not_decide_what_it_costs():
    columns = inputs()
    columns["U"] = columns["D"]
    loss = np.exp(DataConstrained().log_prediction(VALUES, columns))
    with pytest.raises(StudyError, match="say nothing about R_D"):
        Parametric(DataConstrained()).estimate({**columns, "loss": loss}, Options(bootstrap=0))
