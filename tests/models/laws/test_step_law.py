from typing import Any

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.estimator import Options
from models.laws.step_law import StepLaw, StepLawEstimate

PUBLISHED = {"c": 1.79, "alpha": -0.713, "beta": 0.307, "d": 0.58, "gamma": 0.571}
CURVATURE = np.array([[0.014, -0.006], [-0.006, 0.012]])  # of log loss; about that of arXiv 2503.04715's runs
SETTINGS = [(N, D) for N in (6e7, 2.2e8, 5.4e8, 1.1e9) for D in (4e9, 2e10, 1e11)]


def best(N: float, D: float) -> np.ndarray:
    law = PUBLISHED
    return np.log([law["c"] * N ** law["alpha"] * D ** law["beta"], law["d"] * D ** law["gamma"]])


def runs(noise: float = 0.0, seed: int = 0, settings: list[tuple[float, float]] = SETTINGS) -> dict[str, np.ndarray]:
    """A grid of twelve learning rates and ten batch sizes in each setting, the same in all; the largest learning rates diverge."""
    random = np.random.default_rng(seed)
    rate, batch = (axis.ravel() for axis in np.meshgrid(2.0 ** np.arange(-12.5, -4.8, 0.65), 2.0 ** np.arange(15, 22.5, 0.8)))
    parts = []
    for N, D in settings:
        off = np.log(np.stack([rate, batch], axis=1)) - best(N, D)
        log_loss = np.log(1.8 + 400 * N**-0.34 + 410 * D**-0.28) + 0.5 * np.einsum("ni,ij,nj->n", off, CURVATURE, off)
        log_loss = np.where(off[:, 0] > 2.2, np.log(8.0), log_loss) + noise * random.standard_normal(len(rate))
        parts.append({"N": np.full(len(rate), N), "D": np.full(len(rate), D), "lr": rate, "batch": batch, "loss": np.exp(log_loss)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def usable(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    [diverged] = StepLaw().unusable(columns).values()
    return {name: column[~diverged] for name, column in columns.items()}


def fitted(columns: dict[str, np.ndarray], **options: Any) -> StepLawEstimate:
    given: dict[str, Any] = {"bootstrap": 0} | options
    return StepLaw().estimate(usable(columns), Options(**given))


def test_known_coefficients_are_found_again():
    assert fitted(runs()).coefficients == pytest.approx(PUBLISHED, rel=1e-6)


def test_noise_moves_them_little():
    found = fitted(runs(noise=0.002)).coefficients
    assert [found[name] for name in ("alpha", "beta", "gamma")] == pytest.approx([-0.713, 0.307, 0.571], abs=0.06)


def test_diverged_runs_are_told_from_bad_ones():
    columns = runs(noise=0.002)
    [(reason, diverged)] = StepLaw().unusable(columns).items()
    assert (diverged == (columns["loss"] > 7)).all() and diverged.any()
    assert "more than 50% above the best run of its N and D" in reason


def test_rows_that_are_not_positive_are_no_best_run():
    columns = runs()
    columns["loss"][:3] = (-1.0, 0.0, -5.0)
    [diverged] = StepLaw().unusable(columns).values()
    assert not diverged[:3].any()
    assert (diverged[3:] == (columns["loss"][3:] > 7)).all()


def test_units_and_row_order_do_not_matter():
    columns = runs(noise=0.002)
    plain = fitted(columns).coefficients
    order = np.random.default_rng(5).permutation(len(columns["N"]))
    assert fitted({name: column[order] for name, column in columns.items()}).coefficients == pytest.approx(plain, rel=1e-6)
    sequences = fitted(columns | {"batch": columns["batch"] / 2048}).coefficients
    assert sequences["gamma"] == pytest.approx(plain["gamma"], rel=1e-6)
    assert sequences["d"] == pytest.approx(plain["d"] / 2048, rel=1e-6)


def test_learning_rate_batch_and_losses_are_predicted():
    estimate = fitted(runs(noise=0.001), bootstrap=50)
    rate, batch, loss = estimate.predictions({"N": 3e9, "D": 3e11})
    assert (rate.response, batch.response, loss.response) == ("lr", "batch", "loss")
    assert np.log([rate.value, batch.value]) == pytest.approx(best(3e9, 3e11), abs=0.2)
    [off] = estimate.predictions({"N": 3e9, "D": 3e11, "lr": 2 * rate.value, "batch": batch.value})
    assert off.value == pytest.approx(loss.value * np.exp(0.5 * CURVATURE[0, 0] * np.log(2) ** 2), rel=1e-3)
    assert len(rate.draws) == len(off.draws) == 50
    with pytest.raises(StudyError, match="one of lr and batch and not batch"):
        estimate.predictions({"N": 3e9, "D": 3e11, "lr": 1e-3})


def test_a_published_law_is_evaluated_even_on_one_setting():
    estimate = fitted(runs(settings=SETTINGS[4:5]), fixed=PUBLISHED, bootstrap=5)
    assert estimate.coefficients == pytest.approx(PUBLISHED)
    assert 0 <= estimate.metrics["mean_excess_loss"] == estimate.metrics["largest_excess_loss"] < 0.002
    wrong = fitted(runs(), fixed=PUBLISHED | {"c": 0.3}).metrics["mean_excess_loss"]
    assert wrong > 10 * fitted(runs(), fixed=PUBLISHED).metrics["mean_excess_loss"]


def test_a_setting_that_is_not_bracketed_is_left_out_and_named():
    columns = runs()
    low = {name: column[(columns["N"] != 6e7) | (columns["D"] != 4e9) | (columns["lr"] < 1e-3)] for name, column in columns.items()}
    estimate = fitted(low)
    assert "1 (N = 6e+07, D = 4e+09): the minimum is not bracketed by the runs" in estimate.warnings[0]
    assert estimate.coefficients == pytest.approx(PUBLISHED, rel=1e-6)


def test_what_holds_no_law_is_refused():
    columns = runs()
    one_size = {name: column[columns["N"] == 6e7] for name, column in columns.items()}
    with pytest.raises(StudyError, match=r"c, alpha, beta need at least 4 settings of N and D, and there are 3"):
        fitted(one_size)
    four = runs(settings=[(6e7, D) for D in (1e9, 4e9, 2e10, 1e11)])
    with pytest.raises(StudyError, match=r"All 4 settings of N and D have the same N .*--fix alpha=VALUE"):
        fitted(four)
    assert fitted(four, fixed={"alpha": -0.713}).coefficients == pytest.approx(PUBLISHED, rel=1e-6)
    with pytest.raises(StudyError, match="No setting of N and D tells"):
        fitted({name: column[:2] for name, column in columns.items()})
    with pytest.raises(StudyError, match="No setting of N and D tells"):
        fitted({name: column[columns["batch"] == columns["batch"][0]] for name, column in columns.items()})
    with pytest.raises(StudyError, match="losses are equal"):
        fitted(columns | {"loss": np.full(len(columns["loss"]), 2.5)})


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """Of alpha, beta and gamma, at 90%, in 80 studies: .82 to .97 is what chance allows."""
    covered = []
    for seed in range(80):
        draws = fitted(runs(0.002, seed), bootstrap=300, seed=seed).draws
        edges = {name: np.quantile(draws[name], [0.05, 0.95]) for name in ("alpha", "beta", "gamma")}
        covered.append([low <= PUBLISHED[name] <= high for name, (low, high) in edges.items()])
    assert 0.82 < np.mean(covered) < 0.97
