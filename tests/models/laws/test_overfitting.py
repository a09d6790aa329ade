import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.estimator import Options
from models.laws.law import Law
from models.laws.overfitting import Overfitting
from models.laws.repetition import Repetition, Typical

QUICK = Options(bootstrap=0)
LAW = Repetition(Typical(loss=1.6, T=50.0, delta=0.1))
TRUTH = np.array([1.0, 0.0, -0.3, -1.5, 1.0, 0.06, 0.002, 0.5, 0.12, 0.9, 2.0, 0.55, 2.0])  # T in billions
UNIQUE = 3e8


def table(noise: float = 0.0, seed: int = 0, most: float = 200.0) -> dict[str, np.ndarray]:
    """Six shares with 25 checkpoints from 5 B tokens to `most` B."""
    random = np.random.default_rng(seed)
    delta, billions = (grid.ravel() for grid in np.meshgrid((0, 0.001, 0.01, 0.02, 0.05, 0.1), np.geomspace(5, most, 25)))
    train, gap = LAW.train_and_gap(TRUTH, billions, delta)
    scatter = np.exp(noise * random.standard_normal((2, len(delta))))
    return {
        "T": 1e9 * billions,
        "delta": delta,
        "loss": (train + gap) * scatter[0],
        "train_loss": train * scatter[1],
        "U": np.full(len(delta), UNIQUE),
    }


def best_share(billions: float) -> float:
    shares = np.linspace(0, 0.1, 100_001)
    return float(shares[np.sum(LAW.train_and_gap(TRUTH, np.array([billions]), shares), axis=0).argmin()])


def test_the_closed_derivatives_are_those_of_the_prediction():
    columns = table()
    inputs = {"T": columns["T"] / 1e9, "delta": columns["delta"], "is_test": np.arange(150) % 2}
    closed = LAW.log_prediction_and_jacobian(TRUTH, inputs)[1]
    assert closed == pytest.approx(Law.log_prediction_and_jacobian(LAW, TRUTH, inputs)[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("mapped", [("train_loss", "U"), ("U",)])
def test_coefficients_and_the_best_repetition_are_recovered(mapped: tuple[str, ...]):
    estimate = Overfitting(mapped).estimate(table(0.0005), QUICK)
    for name, truth in (("b_train_g", -0.3), ("kappa0", 1.0), ("alpha2", 0.9), ("b_gap_g", 0.55), ("b_gap_s", 2.0)):
        assert estimate.coefficients[name] == pytest.approx(truth, rel=0.1), name
    for billions in (30.0, 100.0, 400.0):
        share, loss, repetitions = estimate.predictions({"T": 1e9 * billions})
        assert (share.response, loss.response, repetitions.response) == ("best_fraction", "loss", "best_repetitions")
        assert share.value == pytest.approx(best_share(billions), rel=0.05)
        assert repetitions.value == pytest.approx(share.value * 1e9 * billions / UNIQUE)


def test_the_upturn_is_foreseen():
    """From the first 60 B tokens, the loss at 200 B, where a tenth has overfitted."""
    columns = table(0.0005)
    early = {name: column[columns["T"] <= 6e10] for name, column in columns.items()}
    late = {name: column[columns["T"] > 6e10] for name, column in columns.items()}
    predicted = Overfitting(("train_loss",)).estimate(early, QUICK).predict(late)
    assert np.abs(predicted / late["loss"] - 1).mean() < 0.01


def test_order_and_units_do_not_matter():
    columns = table(0.001)
    here = Overfitting(("train_loss",)).estimate(columns, QUICK)
    order = np.random.default_rng(1).permutation(150)
    moved = {name: column[order] for name, column in columns.items()}
    moved |= {"T": moved["T"] / 1e9, "loss": moved["loss"] / np.log(2), "train_loss": moved["train_loss"] / np.log(2)}
    there = Overfitting(("train_loss",)).estimate(moved, QUICK)
    for name in ("b_train_g", "b_gap_g", "alpha2", "kappa2"):
        assert there.coefficients[name] == pytest.approx(here.coefficients[name], rel=1e-3)
    assert there.predictions({"T": 100.0})[0].value == pytest.approx(here.predictions({"T": 1e11})[0].value, rel=0.01)


def test_with_omega_given_as_0_the_coefficients_are_the_authors_in_their_unit():
    columns = table()
    estimate = Overfitting(("train_loss",)).estimate(columns | {"T": columns["T"] / 1e9}, Options({"omega": 0.0}, {"alpha1": 0.1}, bootstrap=0))
    found = [estimate.coefficients[name] for name in LAW.names]
    assert found == pytest.approx(list(TRUTH), rel=0.02)


def test_losses_at_a_share():
    estimate = Overfitting(("train_loss",)).estimate(table(), Options(bootstrap=5))
    loss, train = estimate.predictions({"T": 5e10, "delta": 0.05})
    truth_train, truth_gap = LAW.train_and_gap(TRUTH, np.array([50.0]), np.array([0.05]))
    assert loss.value == pytest.approx((truth_train + truth_gap)[0], rel=1e-3)
    assert train.value == pytest.approx(truth_train[0], rel=1e-3)
    assert len(loss.draws) == len(train.draws) == 5


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({name: column[table()["delta"] == 0.02] for name, column in table().items()}, "at least 3 different shares delta"),
        ({name: column[:2] for name, column in table().items()}, "at least 3 different"),
        ({name: column[:12] for name, column in table().items()}, "at least 3 different values of T"),
        ({name: column[::13] for name, column in table().items()}, "13 coefficients and there are only 12 usable rows"),
        (table() | {"loss": np.full(150, 2.0)}, "All 150 losses are equal"),
        (table() | {"delta": table()["delta"] * 100}, "map it as a share"),
        (table() | {"U": np.where(np.arange(150) < 9, 3e7, 3e8)}, "of one data set"),
    ],
)
def test_what_cannot_be_fitted_is_refused(columns: dict[str, np.ndarray], message: str):
    with pytest.raises(StudyError, match=message):
        Overfitting(("train_loss", "U")).estimate(columns, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("mapped", [("train_loss",), ()])
def test_intervals_cover(mapped: tuple[str, ...]):
    """90% intervals of the loss at shares and budgets among those of the table, over simulated tables."""
    points = table(most=150.0)
    truth, inside = points["loss"][::7], []
    at = {"T": points["T"][::7], "delta": points["delta"][::7]}
    for seed in range(20):
        estimate = Overfitting(mapped).estimate(table(0.003, seed), Options(bootstrap=100, seed=seed))
        low, high = np.quantile(estimate.draws_at(at), [0.05, 0.95], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert 0.8 <= np.mean(inside) <= 0.97
