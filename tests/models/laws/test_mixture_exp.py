import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.estimator import Options
from models.laws.law import Law
from models.laws.mixture_exp import MixtureExp, MixtureExpLaw

DOMAINS = ("w_code", "w_books", "w_web")
QUICK = Options(bootstrap=0)
C, K, T = 1.3, 0.8, np.array([-3.0, 1.0, 2.0])  # in the order of DOMAINS; the mean of T is 0


def table(rows: int = 40, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(3), rows)
    loss = (C + K * np.exp(weights @ T)) * np.exp(noise * random.standard_normal(rows))
    return dict(zip(DOMAINS, weights.T, strict=True)) | {"loss": loss}


def test_the_closed_derivatives_are_those_of_the_prediction():
    law, columns = MixtureExpLaw(DOMAINS), table(7)
    values = np.array([C, K, *T])
    assert law.log_prediction_and_jacobian(values, columns)[1] == pytest.approx(Law.log_prediction_and_jacobian(law, values, columns)[1], rel=1e-12)


def test_coefficients_are_recovered_in_their_canonical_form():
    found = MixtureExp(DOMAINS).estimate(table(noise=0.001), QUICK).coefficients
    assert found["c"] == pytest.approx(C, rel=0.01)
    assert found["k"] == pytest.approx(K, rel=0.03)
    assert [found[f"t_{name}"] for name in DOMAINS] == pytest.approx(T, abs=0.1)
    assert sum(found[f"t_{name}"] for name in DOMAINS) == pytest.approx(0, abs=1e-12)


def test_a_given_coefficient_decides_between_the_equivalent_forms():
    """k exp(sum (t_j + a) r_j) = k e^a exp(sum t_j r_j) where the weights sum to one."""
    columns = table()
    free = MixtureExp(DOMAINS).estimate(columns, QUICK)
    given = MixtureExp(DOMAINS).estimate(columns, Options(bootstrap=0, fixed={"t_w_web": 0.0}))
    assert given.coefficients["t_w_web"] == 0
    assert given.coefficients["k"] == pytest.approx(K * np.exp(2), rel=1e-4)
    assert given.coefficients["t_w_code"] == pytest.approx(-5, abs=1e-3)
    points = {name: np.array([0.2, 1 / 3]) for name in DOMAINS} | {"w_web": np.array([0.6, 1 / 3])}
    assert given.predict(points) == pytest.approx(free.predict(points), rel=1e-6)


def test_one_ratio_alone_has_no_equivalent_forms():
    x = np.linspace(0.1, 0.9, 9)
    found = MixtureExp(("ratio",)).estimate({"ratio": x, "loss": 1.1 + np.exp(-2.3 * x - 0.6)}, QUICK).coefficients
    assert found == pytest.approx({"c": 1.1, "k": np.exp(-0.6), "t_ratio": -2.3}, rel=1e-4)


def test_order_and_units_do_not_matter():
    columns = table(noise=0.003)
    here = MixtureExp(DOMAINS).estimate(columns, QUICK).coefficients
    order = np.random.default_rng(1).permutation(40)
    shuffled = {name: column[order] for name, column in columns.items()} | {"loss": columns["loss"][order] / np.log(2)}
    there = MixtureExp(DOMAINS[::-1]).estimate(shuffled, QUICK).coefficients
    assert there["c"] * np.log(2) == pytest.approx(here["c"], rel=1e-5)
    assert [there[f"t_{name}"] for name in DOMAINS] == pytest.approx([here[f"t_{name}"] for name in DOMAINS], abs=1e-4)


def test_rounded_rows_are_normalised_and_others_are_refused():
    columns, law = table(), MixtureExp(DOMAINS)
    rounded = columns | {name: columns[name] * 1.004 for name in DOMAINS}
    assert law.estimate(rounded, QUICK).coefficients == pytest.approx(law.estimate(columns, QUICK).coefficients, rel=1e-6)
    broken = columns | {"w_web": np.where(np.arange(40) == 3, 0.9, columns["w_web"])}
    (refused,) = law.unusable(broken).values()
    assert list(np.flatnonzero(refused)) == [3]
    with pytest.raises(StudyError, match=r"1 of 40 mixtures do not"):
        law.estimate(broken, QUICK)
    with pytest.raises(StudyError, match=r"w_books=0\.1"):
        law.estimate(columns, QUICK).predict({"w_code": np.array([0.5]), "w_books": np.array([0.1]), "w_web": np.array([0.1])})


def test_a_curve_that_the_runs_do_not_show_is_said_to_be_unknown():
    x = np.linspace(0.25, 0.75, 5)
    loss = np.array([3.60, 3.52, 3.46, 3.41, 3.46])  # the last is off the curve
    assert any("flat valley" in warning for warning in MixtureExp(("ratio",)).estimate({"ratio": x, "loss": loss}, QUICK).warnings)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (table(2), "fewer than three different mixtures"),
        (table() | {"loss": np.full(40, 2.0)}, "are equal"),
        ({name: np.full(9, 1 / 3) for name in DOMAINS} | {"loss": np.linspace(2, 3, 9)}, "fewer than three different mixtures"),
    ],
)
def test_what_cannot_be_fitted_is_refused(columns: dict[str, np.ndarray], message: str):
    with pytest.raises(StudyError, match=message):
        MixtureExp(DOMAINS).estimate(columns, QUICK)


@pytest.mark.slow
def test_intervals_cover():
    """90% intervals of the loss at mixtures that were not run, over simulated tables."""
    points = table(20, seed=99)
    truth, inside = points.pop("loss"), []
    for seed in range(60):
        estimate = MixtureExp(DOMAINS).estimate(table(40, 0.01, seed), Options(bootstrap=200, seed=seed))
        low, high = np.quantile(estimate.draws_at(points), [0.05, 0.95], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert 0.8 <= np.mean(inside) <= 0.96
