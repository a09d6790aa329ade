"""Fits that others published, on their own runs (../shared/tables/README.md). The tables are not part of the project."""

import csv
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from models.laws.chinchilla import Chinchilla
from models.laws.core import Fit, Problem, bootstrap, fit, usable_rows
from models.laws.identifiability import warnings

TABLE = Path(__file__).parents[3] / "shared/tables/chinchilla_epoch/svg_extracted_data.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the published runs are not there: {TABLE}")

PUBLISHED = {"E": (1.8172, 0.03), "A": (482.01, 124.58), "B": (2085.43, 1293.23), "alpha": (0.3478, 0.02), "beta": (0.3658, 0.02)}
PUBLISHED_OBJECTIVE, LOWEST_OBJECTIVE = 1.018645e-3, 1.018274e-3


def fitted(drop_highest_losses: int) -> Fit:
    with TABLE.open() as lines:
        rows = list(csv.DictReader(lines))
    num_params, flops, loss = (np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss"))
    columns = {"N": num_params, "D": flops / (6 * num_params), "loss": loss}
    usable, dropped = usable_rows(columns)
    assert usable.all() and not dropped
    kept = np.sort(np.argsort(loss)[: len(loss) - drop_highest_losses])
    inputs = {name: columns[name][kept] for name in ("N", "D")}
    return fit(Problem.of(Chinchilla(), inputs, loss[kept], delta=1e-3))


@pytest.fixture(scope="module")
def replication() -> Fit:
    return fitted(drop_highest_losses=5)


def test_the_published_fit_is_reproduced(replication):
    """arXiv 2404.10102, 240 runs."""
    ours = replication.coefficients
    assert len(replication.problem.observed) == 240
    assert replication.objective == pytest.approx(LOWEST_OBJECTIVE, abs=1e-9)
    assert replication.objective < PUBLISHED_OBJECTIVE
    assert replication.starts_agreeing == replication.starts_polished
    assert ours["A"] == pytest.approx(PUBLISHED["A"][0], rel=0.02)
    assert ours["B"] == pytest.approx(PUBLISHED["B"][0], rel=0.05)
    assert ours["alpha"] == pytest.approx(PUBLISHED["alpha"][0], abs=0.003)
    assert ours["beta"] == pytest.approx(PUBLISHED["beta"][0], abs=0.003)
    assert ours["E"] == pytest.approx(PUBLISHED["E"][0], abs=0.0001)
    assert warnings(replication) == ()


def test_five_rows_decide_beta():
    """With all 245 runs."""
    ours = fitted(drop_highest_losses=0).coefficients
    assert ours["beta"] == pytest.approx(0.453, abs=0.001)
    assert ours["B"] == pytest.approx(12_846, rel=0.01)


def test_a_thousand_bootstraps_give_the_published_errors(replication, capsys):
    began = process_time()
    draws = bootstrap(replication, 1000, seed=0)
    seconds = process_time() - began
    with capsys.disabled():
        print("\ncoefficient   published          ours")
        for name, column in zip(replication.problem.law.names, draws.T, strict=True):
            value, error = PUBLISHED[name]
            print(f"{name:11} {value:9.5g} +- {error:7.4g}  {replication.coefficients[name]:9.5g} +- {column.std():7.4g}")
        print(
            f"objective   {PUBLISHED_OBJECTIVE:.7g}           {replication.objective:.7g}\n1,000 bootstraps of 240 runs: {seconds:.1f} s of one core"
        )
    for name, column in zip(replication.problem.law.names, draws.T, strict=True):
        assert column.std() == pytest.approx(PUBLISHED[name][1], rel=0.35)
