import numpy as np
import pytest

from tasks.fitted_study import fitted_study
from tasks.left_out_mixtures import mixtures_left_out
from tests.tasks.fit_study import study, write_runs

SHARES = {f"m{number}": number / 5 for number in range(6)}  # of code


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fitted(shares: dict[str, float], change=lambda row: row):
    small = study(mixtures=tuple(shares), sizes=("30k", "100k"), budgets=(1,), bootstraps=10)
    factors = {name: 1.2 - 0.3 * share + 0.1 * share**2 for name, share in shares.items()}

    def weighted(row):
        share = shares[row["mixture"]]
        return change({**row, "weights_by_domain": {"code": share, "legal": 1 - share}})

    write_runs(small, factors, weighted, noise_sd=0.001)
    return fitted_study(small)


def test_mixtures_of_one_recipe_are_predicted_from_each_other():
    found = mixtures_left_out(fitted(SHARES), noise_sd=0.003)
    assert found is not None and found.law == "auto" and found.scale is not None and found.scale.startswith("100k")
    assert [row.mixture for row in found.rows] == sorted(SHARES)
    assert found.decision_accuracy is not None and found.decision_accuracy >= 0.8
    assert all(np.isfinite([row.predicted_loss.low, row.predicted_loss.high]).all() for row in found.rows)


def test_too_few_mixtures_are_said_to_be():
    found = mixtures_left_out(fitted({"a": 0.2, "b": 0.8}), noise_sd=None)
    assert found is not None and found.law is None and found.rows == ()
    assert found.why_not == (
        "No mixtures were left out: 2 share a recipe (raw) and differ in their weights alone, and to test a mixture law of 2 domains takes 5."
    )


def test_recipes_are_not_mixed():
    found = mixtures_left_out(fitted(SHARES, lambda row: {**row, "recipe": "raw" if row["mixture"] < "m3" else "clean"}), noise_sd=None)
    assert found is not None and found.why_not is not None and "3 share a recipe" in found.why_not


def test_one_mixture_has_nothing_to_be_compared_with():
    assert mixtures_left_out(fitted({"a": 0.5}), noise_sd=None) is None
