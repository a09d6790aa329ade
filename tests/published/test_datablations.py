"""The data-constrained law on its authors' runs (../shared/tables/README.md), through `assay fit`. The tables are not part of the project."""

from pathlib import Path

import pytest

from tasks.fit_request import FitRequest
from tasks.fit_table import TableFit, fit_table

FOLDER = Path(__file__).parents[3] / "shared/tables/datablations"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"the published runs are not there: {FOLDER}")

MAPS = ("N=params", "D=tokens", "U=unique_tokens", "loss=val_loss")
OF_C4 = ("A=exp(6.255414)", "B=exp(7.3049974)", "E=exp(0.6254804)", "alpha=0.3526596", "beta=0.3526596")
PUBLISHED_R, PUBLISHED_OBJECTIVE = ("R_D=15.387756", "R_N=5.309743"), 0.01582594
PRINTED = {"N=6.34e9,D=242e9,U=25e9": 2.2256440889984477, "N=8.67e9,D=178e9,U=25e9": 2.2269634075087867}


def fitted(**asked) -> TableFit:
    return fit_table(FitRequest("data-constrained", str(FOLDER / "parametric_fit_182.csv"), MAPS, **{"bootstrap": 0, **asked})).result


def test_the_published_law_has_the_published_objective_and_predictions():
    found = fitted(fixed=(*OF_C4, *PUBLISHED_R), predict=tuple(PRINTED))
    assert found.rows.used == 182
    assert found.objective.value == pytest.approx(PUBLISHED_OBJECTIVE, abs=5e-9)
    for predicted, printed in zip(found.predictions, PRINTED.values(), strict=True):
        assert predicted.value == pytest.approx(printed, rel=1e-12)


def test_the_flat_valley_is_searched_to_a_lower_point_and_told(capsys):
    """arXiv 2305.16264: R_D* = 15.4 is a local optimum."""
    found = fitted(fixed=OF_C4, starts=("R_D=13.3", "R_N=5"), bootstrap=200)
    R_D, R_N = found.coefficients["R_D"], found.coefficients["R_N"]
    assert R_D.low is not None and R_D.high is not None
    with capsys.disabled():
        print(f"\n{'':12}published    ours\nobjective   {PUBLISHED_OBJECTIVE:9.8f}    {found.objective.value:9.8f}")
        print(f"R_D         15.39        {R_D.value:.4g} ({R_D.low:.3g} to {R_D.high:.3g})\nR_N         5.31         {R_N.value:.4g}")
    assert found.objective.value < 0.015806
    assert R_D.low < 15.387756 < R_D.high
    assert any("R_D" in warning for warning in found.warnings)


@pytest.mark.parametrize(("R_D", "objective"), [(10, 0.01591), (30, 0.015821), (95, 0.015805)])
def test_the_profile_over_R_D_is_the_published_one(R_D, objective):
    assert fitted(fixed=(*OF_C4, f"R_D={R_D}")).objective.value == pytest.approx(objective, abs=2e-6 if R_D > 10 else 1e-5)


def test_all_runs_can_be_fitted_with_every_coefficient_free():
    found = fit_table(FitRequest("data-constrained", str(FOLDER / "all_runs.csv"), MAPS, bootstrap=0, holdout="unique_tokens < 5e8")).result
    assert found.holdout and found.rows.used + found.holdout.rows + sum(one.count for one in found.rows.dropped) == found.rows.read
    assert found.metrics["mean_relative_error"] < 0.1
