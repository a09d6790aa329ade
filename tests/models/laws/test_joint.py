from time import process_time

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.estimator import Options
from models.laws.joint import Joint
from models.laws.joint_forms import Form, JointForm

DOMAINS = ("w_a", "w_b", "w_c")
QUICK = Options(bootstrap=0)
SHARED = [1.2, 0.34, 0.3, 2.0, 1.0, 0.4, 0.4, 0.8, 0.3]  # E, alpha, beta, C, gamma
TRUTH = {
    "additive": np.array([*SHARED, 400.0, 900.0]),
    "joint": np.array([*SHARED, *(400 ** (1 / 0.8) * np.array([1.5, 0.7, 0.5])), 0.8, *(900 ** (1 / 1.2) * np.array([0.6, 1.4, 1.0])), 1.2]),
}


def table(form: Form, mixtures: int = 16, noise: float = 0.002, seed: int = 0, sizes=(5e7, 1e8, 2e8, 4e8)) -> dict[str, np.ndarray]:
    """One run per mixture and size."""
    random = np.random.default_rng(seed)
    weights = np.repeat(random.dirichlet(np.full(3, 1.5), mixtures), len(sizes), axis=0)
    size = np.tile(sizes, mixtures)
    inputs = dict(zip(DOMAINS, weights.T, strict=True)) | {"N": size, "D": 20 * size * random.uniform(0.3, 3, len(size))}
    log_loss = JointForm(DOMAINS, form).log_prediction(TRUTH[form], inputs)
    return inputs | {"loss": np.exp(log_loss + noise * random.standard_normal(len(size)))}


@pytest.mark.parametrize("form", ["additive", "joint"])
def test_the_closed_derivatives_are_those_of_the_prediction(form: Form):
    law, columns, values = JointForm(DOMAINS, form), table(form, 3), TRUTH[form]
    step = 1e-6 * np.diag(values)
    differences = [(law.log_prediction(values + one, columns) - law.log_prediction(values - one, columns)) / (2 * one.sum()) for one in step]
    assert law.log_prediction_and_jacobian(values, columns)[1] == pytest.approx(np.stack(differences, axis=1), rel=1e-5, abs=1e-12)


def test_the_joint_form_contains_the_additive_one():
    columns, additive = table("additive", 3), JointForm(DOMAINS, "additive")
    joint, same = additive.interacting(TRUTH["additive"])
    assert joint.log_prediction(same, columns) == pytest.approx(additive.log_prediction(TRUTH["additive"], columns), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["additive", "joint"])
def test_a_form_predicts_an_eight_times_larger_model_from_64_runs(form: Form):
    estimate = Joint(DOMAINS).estimate(table(form), QUICK)
    larger = table(form, 20, noise=0, seed=9, sizes=(3.2e9,))
    assert np.abs(estimate.predict(larger) / larger["loss"] - 1).mean() < 0.01
    assert estimate.coefficients["alpha"] == pytest.approx(0.34, abs=0.05)
    assert "chosen by how each predicts the largest runs" in estimate.notes[0]
    if form == "joint":
        assert estimate.notes[0].startswith("The joint form")


def test_coefficients_are_recovered_from_many_runs():
    found = Joint(DOMAINS, "additive").estimate(table("additive", 60, 0.001), QUICK).coefficients
    truth = dict(zip(JointForm(DOMAINS, "additive").names, TRUTH["additive"], strict=True))
    for name in ("E", "alpha", "beta", "C_w_a", "C_w_b", "gamma_w_a", "gamma_w_b"):
        assert found[name] == pytest.approx(truth[name], rel=0.12), name


def test_order_and_units_do_not_matter():
    columns = table("additive")
    here = Joint(DOMAINS, "additive").estimate(columns, QUICK).coefficients
    order = np.random.default_rng(1).permutation(64)
    moved = {name: column[order] for name, column in columns.items()}
    moved |= {"N": moved["N"] / 1e9, "D": moved["D"] / 1e6, "loss": moved["loss"] / np.log(2)}
    there = Joint(DOMAINS[::-1], "additive").estimate(moved, QUICK).coefficients
    for name in ("alpha", "beta", "gamma_w_a"):
        assert there[name] == pytest.approx(here[name], rel=1e-3)
    assert there["E"] * np.log(2) == pytest.approx(here["E"], rel=1e-3)
    assert there["A"] * np.log(2) * 1e9 ** there["alpha"] == pytest.approx(here["A"], rel=5e-3)


def test_given_coefficients_are_kept_and_choose_the_form():
    columns = table("additive")
    additive = Joint(DOMAINS).estimate(columns, Options({"A": 400.0, "alpha": 0.34}, {"B": 800.0}, bootstrap=0))
    assert (additive.coefficients["A"], additive.coefficients["alpha"]) == pytest.approx((400, 0.34))
    assert "A is given" in additive.notes[0]
    joint = Joint(DOMAINS).estimate(columns, Options({"gammaA": 1.0}, bootstrap=0))
    assert joint.coefficients["gammaA"] == pytest.approx(1)
    assert "CA_w_a" in joint.coefficients
    with pytest.raises(StudyError, match="the additive form was asked for"):
        Joint(DOMAINS, "additive").estimate(columns, Options({"gammaA": 1.0}, bootstrap=0))


def test_rows_whose_weights_do_not_sum_to_one_are_named():
    columns = table("additive")
    columns["w_a"][5] += 0.1
    law = Joint(DOMAINS)
    (refused,) = law.unusable(columns).values()
    assert list(np.flatnonzero(refused)) == [5]
    with pytest.raises(StudyError, match="1 of 64 mixtures do not"):
        law.estimate(columns, QUICK)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (table("additive", 2, sizes=(1e8,)), "2 different mixtures"),
        (table("additive", 1), "1 different mixture: "),
        (table("additive") | {"loss": np.full(64, 2.0)}, "All 64 losses are equal"),
        (table("additive", 8, sizes=(1e8,)), "11 free coefficients with 3 domains, and there are only 8 usable rows"),
    ],
)
def test_what_cannot_be_fitted_is_refused(columns: dict[str, np.ndarray], message: str):
    with pytest.raises(StudyError, match=message):
        Joint(DOMAINS).estimate(columns, QUICK)


@pytest.mark.slow
def test_one_size_only_is_fitted_and_said_to_tell_nothing_about_size():
    estimate = Joint(DOMAINS).estimate(table("additive", 40, sizes=(1e8,)), QUICK)
    assert any("same N" in warning for warning in estimate.warnings)


@pytest.mark.slow
def test_intervals_cover():
    """90% intervals of the loss of mixtures that were not run, at the largest size, over simulated tables."""
    points = table("additive", 15, 0.0, seed=99, sizes=(4e8,))
    truth, inside = points.pop("loss"), []
    for seed in range(16):
        estimate = Joint(DOMAINS, "additive").estimate(table("additive", 16, 0.005, seed), Options(bootstrap=100, seed=seed))
        low, high = np.quantile(estimate.draws_at(points), [0.05, 0.95], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert 0.8 <= np.mean(inside) <= 0.97


@pytest.mark.slow
def test_a_thousand_bootstraps_of_245_runs_take_seconds():
    columns = {name: column[:245] for name, column in table("joint", 62).items()}
    began = process_time()
    Joint(DOMAINS).estimate(columns, Options(bootstrap=1000))
    assert process_time() - began < 20  # 6 to 10 s of one core where nothing else runs
