"""The optimal learning rate and batch of arXiv 2503.04715, on its 1,911 dense runs (../shared/tables/README.md)."""

import csv
from pathlib import Path

import numpy as np
import pytest

from models.laws.estimator import Options
from models.laws.step_law import StepLaw, StepLawEstimate

TABLE = Path(__file__).parents[3] / "shared/tables/steplaw/dense_lr_bs_loss.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the published runs are not there: {TABLE}")

PUBLISHED = {"c": 1.79, "alpha": -0.713, "beta": 0.307, "d": 0.58, "gamma": 0.571}
MEAN_EXCESS, LARGEST_EXCESS = 0.096, 0.31  # percent, of the published law
SEQUENCE = 2048  # tokens


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    with TABLE.open() as lines:
        rows = list(csv.DictReader(lines))
    sources = {"N": "N", "D": "D", "lr": "lr", "batch": "bs", "loss": "smooth loss"}
    found = {name: np.array([float(row[source]) for row in rows]) for name, source in sources.items()}
    found["batch"] *= SEQUENCE
    [diverged] = StepLaw().unusable(found).values()
    assert diverged.sum() == 181 and (diverged == np.array([float(row["loss"]) > 4 for row in rows])).all()
    return {name: column[~diverged] for name, column in found.items()}


@pytest.fixture(scope="module")
def ours(columns) -> StepLawEstimate:
    return StepLaw().estimate(columns, Options())


def test_the_published_law_is_as_near_to_the_best_runs_as_published(columns):
    metrics = StepLaw().estimate(columns, Options(fixed=PUBLISHED)).metrics
    assert 100 * metrics["mean_excess_loss"] == pytest.approx(MEAN_EXCESS, abs=5e-4)
    assert 100 * metrics["largest_excess_loss"] == pytest.approx(LARGEST_EXCESS, abs=5e-3)


def test_our_fit_is_as_near(columns, ours, capsys):
    """The optimum is flat, the authors fit other runs of each setting: coefficients differ where the excess loss does not."""
    metrics = StepLaw().estimate(columns, Options(fixed=PUBLISHED)).metrics
    with capsys.disabled():
        print("\ncoefficient      published   ours [90%]")
        for name, draws in ours.draws.items():
            low, high = np.quantile(draws, [0.05, 0.95])
            print(f"{name:16} {PUBLISHED[name]:9.3f} {ours.coefficients[name]:9.3f} [{low:.3f}, {high:.3f}]")
        for name, published in (("mean_excess_loss", MEAN_EXCESS), ("largest_excess_loss", LARGEST_EXCESS)):
            print(f"{name:19} {published:.3f}% (recomputed {100 * metrics[name]:.4f}%)   our fit {100 * ours.metrics[name]:.4f}%")
    assert ours.metrics["mean_excess_loss"] < 1.2 * metrics["mean_excess_loss"]
    assert ours.metrics["largest_excess_loss"] <= metrics["largest_excess_loss"] * 1.001
    assert ours.coefficients["alpha"] == pytest.approx(PUBLISHED["alpha"], abs=0.05)
    assert ours.coefficients["gamma"] == pytest.approx(PUBLISHED["gamma"], abs=0.03)
    assert not [warning for warning in ours.warnings if "left out" in warning]
