"""Chinchilla's runs, fitted as in arXiv 2404.10102 (../shared/tables/README.md), through `assay fit`. The table is not part of the project."""

from pathlib import Path
from time import process_time

import pytest

from tasks.fit_request import FitRequest
from tasks.fit_table import FittedTable, TableFit, fit_table

TABLE = Path(__file__).parents[3] / "shared/tables/chinchilla_epoch/svg_extracted_data.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"the published runs are not there: {TABLE}")

MAPS = ('N="Model Size"', 'D="Training FLOP"/(6*"Model Size")', "loss=loss")
PUBLISHED = {"E": (1.8172, 0.03), "A": (482.01, 124.58), "B": (2085.43, 1293.23), "alpha": (0.3478, 0.02), "beta": (0.3658, 0.02)}
PUBLISHED_OBJECTIVE, LOWEST_OBJECTIVE = 1.018645e-3, 1.018274e-3
DROPPED = {1: 5.006, 2: 4.665, 3: 3.766, 4: 3.794, 5: 3.447}  # row: loss


def fitted(drop_highest_loss: int, bootstrap: int = 0) -> FittedTable:
    return fit_table(FitRequest("chinchilla", str(TABLE), MAPS, drop_highest_loss=drop_highest_loss, bootstrap=bootstrap))


@pytest.fixture(scope="module")
def replication() -> tuple[FittedTable, float]:
    """With a thousand bootstraps, and the seconds of one core that it took."""
    began = process_time()
    return fitted(5, bootstrap=1000), process_time() - began


@pytest.fixture(scope="module")
def result(replication) -> TableFit:
    return replication[0].result


def test_the_published_fit_is_reproduced(result):
    """arXiv 2404.10102, 240 runs."""
    assert (result.rows.read, result.rows.used) == (245, 240)
    assert result.objective.value == pytest.approx(LOWEST_OBJECTIVE, abs=1e-9)
    assert result.objective.value < PUBLISHED_OBJECTIVE
    tolerances = {"A": 0.02 * 482.01, "B": 0.05 * 2085.43, "alpha": 0.003, "beta": 0.003, "E": 0.0001}
    for name, tolerance in tolerances.items():
        assert result.coefficients[name].value == pytest.approx(PUBLISHED[name][0], abs=tolerance)
    assert result.warnings == ()


def test_the_five_rows_that_are_left_out_are_listed(result):
    (dropped,) = result.rows.dropped
    assert dropped.count == 5
    for row, loss in DROPPED.items():
        assert f"{loss:.4g} (row {row})" in dropped.reason


def test_five_rows_decide_beta():
    """With all 245 runs."""
    ours = fitted(0).result.coefficients
    assert ours["beta"].value == pytest.approx(0.453, abs=0.001)
    assert ours["B"].value == pytest.approx(12_846, rel=0.01)


def test_a_thousand_bootstraps_give_the_published_errors(replication, capsys):
    (it, seconds), result = replication, replication[0].result
    with capsys.disabled():
        print("\ncoefficient   published          ours                  90% interval")
        for name, (value, error) in PUBLISHED.items():
            ours = result.coefficients[name]
            print(
                f"{name:11} {value:9.5g} +- {error:7.4g}  {ours.value:9.5g} +- {it.estimate.draws[name].std():7.4g}  "
                f"{ours.low:9.5g} to {ours.high:9.5g}"
            )
        print(f"objective   {PUBLISHED_OBJECTIVE:.7g}           {result.objective.value:.7g}")
        print(f"1,000 bootstraps of 240 runs: {seconds:.1f} s of one core")
    for name, (_, error) in PUBLISHED.items():
        assert it.estimate.draws[name].std() == pytest.approx(error, rel=0.35)
