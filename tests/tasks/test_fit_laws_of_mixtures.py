"""Laws of mixtures through `assay fit`: what is dropped, what may be left out of --predict, what a choice of law says."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.cmr import GeneralLoss
from models.laws.joint_forms import JointForm
from tasks.fit_request import FitRequest
from tasks.fit_table import fit_table

DOMAINS = ("w_a", "w_b", "w_c")


def write(path: Path, columns: Mapping[str, np.ndarray]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return str(path)


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """64 runs, of which the weights of the sixth do not sum to one."""
    random = np.random.default_rng(0)
    weights = np.repeat(random.dirichlet(np.full(3, 1.5), 16), 4, axis=0)
    size = np.tile([5e7, 1e8, 2e8, 4e8], 16)
    inputs = dict(zip(DOMAINS, weights.T, strict=True)) | {"N": size, "D": 20 * size * random.uniform(0.3, 3, 64)}
    values = np.array([1.2, 0.34, 0.3, 2.0, 1.0, 0.4, 0.4, 0.8, 0.3, 400, 900])
    loss = np.exp(JointForm(DOMAINS, "additive").log_prediction(values, inputs) + 0.002 * random.standard_normal(64))
    inputs["w_a"] = np.where(np.arange(64) == 5, 0.99, inputs["w_a"])
    return write(tmp_path_factory.mktemp("mixtures") / "runs.csv", inputs | {"loss": loss})


def of_mixtures(law: str, table: str, **asked) -> FitRequest:
    return FitRequest(law, table, ("N=N", "D=D", "loss=loss"), weights="w_*", bootstrap=10, **asked)


def test_a_row_whose_weights_do_not_sum_to_one_is_refused_by_its_number(mixtures: str):
    point = "N=3e9,D=6e10,w_a=.5,w_b=.25,w_c=.25"
    result = fit_table(of_mixtures("joint", mixtures, holdout="N > 3e8", predict=(point,))).result
    assert (result.rows.read, result.rows.used) == (64, 47)
    (dropped,) = result.rows.dropped
    assert (dropped.count, dropped.reason.split(": ")[1]) == (1, "row 6")
    assert result.holdout and result.holdout.rows == 16
    assert result.predictions[0].low is not None
    assert "form was chosen by" in result.notes[-1]


def test_a_form_is_asked_for_by_name_and_coefficients_by_theirs(mixtures: str):
    result = fit_table(of_mixtures("joint-additive", mixtures, fixed=("alpha=0.34",), starts=("A=300",))).result
    assert result.coefficients["alpha"].value == 0.34
    assert "it was asked for" in result.notes[-1]
    with pytest.raises(StudyError, match=r"no coefficient 'C_w_x'"):
        fit_table(of_mixtures("joint", mixtures, fixed=("C_w_x=1",)))
    with pytest.raises(StudyError, match=r"sum to one within 1%"):
        fit_table(of_mixtures("joint", mixtures, predict=("N=1e9,D=1e10,w_a=.5,w_b=.5,w_c=.5",)))


def test_the_critical_ratio_is_predicted_at_tokens_alone(tmp_path: Path):
    R, T = (grid.ravel() for grid in np.meshgrid((12.5, 25, 50, 75), np.arange(11) * 1e9))
    values = np.array([2.5, 0.2 * 1e-9**0.3, 0.06 * 1e-9**0.45, 1.2, 0.3, 0.45])
    table = write(tmp_path / "cpt.csv", {"percent": R, "T": T, "general": np.exp(GeneralLoss().log_prediction(values, {"R": R / 100, "T": T}))})
    asked = FitRequest(
        "cmr", table, ("R=percent/100", "T=T", "loss=general"), bootstrap=10, predict=("T=2e10", "T=2e10,epsilon=0.02", "T=2e10,R=0.3")
    )
    default, strict, at = fit_table(asked).result.predictions
    assert (default.response, strict.response, at.response) == ("critical_ratio", "critical_ratio", "loss")
    assert strict.value < default.value
    assert "turning_ratio" in default.others
    assert default.run is None, "a further run scatters in its loss, not in the ratio"
    with pytest.raises(StudyError, match="does not say T"):
        fit_table(FitRequest("cmr", table, ("R=percent/100", "T=T", "loss=general"), predict=("R=0.3",)))
