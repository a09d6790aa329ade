import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.cmr import Cmr, DomainLoss, GeneralLoss, critical_ratio, turning_power_law
from models.laws.estimator import Options

QUICK = Options(bootstrap=0)
GENERAL = np.array([2.5, 0.2 * 1e-9**0.3, 0.06 * 1e-9**0.45, 1.2, 0.3, 0.45])  # L_base, alpha2, alpha3, s, s2, s3
DOMAIN = np.array([1.2, 0.6 * 1e9**0.15, -0.1, -0.15])
RATIOS = (1 / 8, 1 / 4, 1 / 3, 1 / 2, 3 / 4)


def table(noise: float = 0.0, seed: int = 0, first: int = 0) -> dict[str, np.ndarray]:
    """Five runs of 10 B tokens with checkpoints; `first` 1 leaves out the model before."""
    random = np.random.default_rng(seed)
    R, T = (grid.ravel() for grid in np.meshgrid(RATIOS, np.arange(first, 21) * 5e8))
    inputs = {"R": R, "T": T}
    scatter = np.exp(noise * random.standard_normal((2, len(R))))
    domain = np.exp(DomainLoss().log_prediction(DOMAIN, {"R": R, "T": np.maximum(T, 1e6)}))
    return inputs | {"loss": np.exp(GeneralLoss().log_prediction(GENERAL, inputs)) * scatter[0], "domain_loss": domain * scatter[1]}


def test_the_closed_derivatives_are_those_of_the_prediction():
    law, columns = GeneralLoss(), table()
    steps = 1e-6 * np.diag(GENERAL)
    differences = [(law.log_prediction(GENERAL + one, columns) - law.log_prediction(GENERAL - one, columns)) / (2 * one.sum()) for one in steps]
    assert law.log_prediction_and_jacobian(GENERAL, columns)[1] == pytest.approx(np.stack(differences, axis=1), rel=1e-5, abs=1e-9)


def test_coefficients_and_ratios_are_recovered():
    estimate = Cmr(with_domain_loss=True).estimate(table(0.0003), QUICK)
    for name, truth in (("L_base", 2.5), ("s", 1.2), ("s2", 0.3), ("s3", 0.45), ("beta1", 1.2), ("s1R", -0.1), ("s1T", -0.15)):
        assert estimate.coefficients[name] == pytest.approx(truth, rel=0.08), name
    critical, turning, domain = estimate.predictions({"T": 2e10, "epsilon": 0.02})
    assert (critical.response, turning.response, domain.response) == ("critical_ratio", "turning_ratio", "domain_loss")
    assert critical.value == pytest.approx(float(critical_ratio(GENERAL, 2e10, 0.02)), rel=0.02)
    eta1, s4 = turning_power_law(GENERAL)
    assert turning.value == pytest.approx(eta1 * 2e10**s4, rel=0.05)
    assert domain.value == pytest.approx(1.2 + 0.6 * 20**-0.15 * critical.value**-0.1, rel=0.01)


def test_a_domain_loss_that_falls_from_the_loss_before_is_recovered():
    columns = table(first=1)
    columns["domain_loss"] = 2.1 - 0.3 * columns["R"] ** 0.2 * (columns["T"] / 1e9) ** 0.3
    found = Cmr(with_domain_loss=True).estimate(columns, QUICK).coefficients
    assert [found["beta1"], found["s1R"], found["s1T"]] == pytest.approx([2.1, 0.2, 0.3], rel=1e-3)


def test_the_critical_ratio_is_the_largest_within_the_tolerance():
    ratio = float(critical_ratio(GENERAL, 1e10, 0.05))
    below, above = (
        np.exp(GeneralLoss().log_prediction(GENERAL, {"R": np.array([R]), "T": np.array([1e10])}))[0] for R in (ratio - 1e-6, ratio + 1e-6)
    )
    assert below < 2.55 < above
    assert critical_ratio(GENERAL, 1e10, 9.0) == 1  # any ratio will do


def test_the_general_loss_falls_below_the_turning_ratio_and_rises_above():
    eta1, s4 = turning_power_law(GENERAL)
    for factor, sign in ((0.98, -1), (1.02, 1)):
        R = np.full(2, eta1 * 1e10**s4 * factor)
        before, after = GeneralLoss().log_prediction(GENERAL, {"R": R, "T": np.array([1e10, 1.0001e10])})
        assert np.sign(after - before) == sign


def test_order_and_units_do_not_matter():
    columns = table(0.0003)
    here = Cmr().estimate(columns, QUICK)
    order = np.random.default_rng(1).permutation(len(columns["R"]))
    there = Cmr().estimate({"R": columns["R"][order], "T": columns["T"][order] / 2e8, "loss": columns["loss"][order]}, QUICK)
    for name in ("L_base", "s", "s2", "s3"):
        assert there.coefficients[name] == pytest.approx(here.coefficients[name], rel=2e-3)
    assert there.predictions({"T": 100.0})[0].value == pytest.approx(here.predictions({"T": 2e10})[0].value, rel=2e-3)


def test_the_loss_before_is_extrapolated_only_with_a_warning():
    assert any("No row has T = 0" in warning for warning in Cmr().estimate(table(first=1), QUICK).warnings)
    assert Cmr().estimate(table(first=1), Options({"L_base": 2.5}, bootstrap=0)).coefficients["L_base"] == 2.5
    assert not Cmr().estimate(table(0.0003), QUICK).warnings


def rows(columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[chosen] for name, column in columns.items()}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (rows(table(), table()["R"] == 0.25), "at least 3 different ratios R .* there are 0.25"),
        (rows(table(), np.isin(table()["T"], (0, 5e8))), "at least 3 different values of T above 0"),
        (table() | {"R": table()["R"] * 100}, "map them as shares"),
        (table() | {"loss": np.full(105, 2.0)}, "are equal"),
        (rows(table(), np.arange(105) < 2), "at least 3 different"),
    ],
)
def test_what_cannot_be_fitted_is_refused(columns: dict[str, np.ndarray], message: str):
    with pytest.raises(StudyError, match=message):
        Cmr().estimate(columns, QUICK)


@pytest.mark.slow
def test_intervals_cover():
    """90% intervals of the critical ratio, over simulated tables."""
    truth, inside = float(critical_ratio(GENERAL, 2e10, 0.02)), []
    for seed in range(60):
        found = Cmr().estimate(table(0.0005, seed), Options(bootstrap=200, seed=seed)).predictions({"T": 2e10, "epsilon": 0.02})[0]
        low, high = np.quantile(found.draws, [0.05, 0.95])
        inside.append(low <= truth <= high)
    assert 0.78 <= np.mean(inside) <= 0.98
