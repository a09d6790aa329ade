import math

import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.benchmarks.version import Outline, with_outlines
from tasks.run_gate import Gate, through_gate
from tests.tasks.fit_study import study, write_runs

FACTORS = {"raw": 1.1, "clean": 1.0}
OTHER = "raw/30k-1x-seed2"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def changed(name: str, **values: object):
    """A hook that changes one run's row, or the evaluations of one run."""

    def change(row):
        return {**row, **values} if f"{row['mixture']}/{row['run']}" == name else row

    return change


def gate(change_result=lambda row: row, change_evaluation=lambda row: [row], **target: object) -> Gate:
    small = study(mixtures=tuple(FACTORS), sizes=("30k", "100k"), **target)
    write_runs(small, FACTORS, change_result, change_evaluation)
    return through_gate(small)


def the_refused(found: Gate) -> str:
    assert len(found.admitted) == 15
    (refused,) = found.refused
    assert f"{refused.mixture}/{refused.run}" == OTHER
    return refused.reason


def test_all_good_runs_pass_with_the_mean_over_domains_as_loss():
    found = gate()
    assert len(found.admitted) == 16 and not found.refused
    run = found.admitted[0]
    assert run.result.mixture == "raw" and run.result.run == "30k-1x-seed1"
    assert run.loss == pytest.approx(sum(value for value in run.bits_per_byte.values() if value) / 2)


def test_the_loss_is_weighted_as_asked():
    found = gate(domain_weights={"code": 3.0, "legal": 1.0})
    run = found.admitted[0]
    code, legal = run.bits_per_byte["code"], run.bits_per_byte["legal"]
    assert code and legal and run.loss == pytest.approx((3 * code + legal) / 4)


def test_a_diverged_run_is_refused():
    reason = the_refused(gate(changed(OTHER, status="diverged", steps=40, final_train_loss=None)))
    assert reason == "it diverged after 40 of 100 steps"


def test_a_short_run_is_refused():
    assert the_refused(gate(changed(OTHER, steps=99))) == "it has 99 of 100 steps"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 0.0])
def test_a_run_without_a_finite_loss_is_refused(value):
    found = gate(change_evaluation=lambda row: [changed(OTHER, value=value)(row) if row["benchmark"] == "heldout/legal" else row])
    assert "on held-out legal is" in the_refused(found)


def test_a_run_without_a_value_for_a_domain_is_refused():
    found = gate(change_evaluation=lambda row: [] if f"{row['mixture']}/{row['run']}" == OTHER and row["benchmark"] == "heldout/code" else [row])
    assert the_refused(found) == "it has no values of bits_per_byte on held-out code"


def test_a_domain_without_weight_may_be_missing():
    def without_code(row):
        return [] if row["benchmark"] == "heldout/code" else [row]

    assert len(gate(change_evaluation=without_code, domain_weights={"legal": 1.0}).admitted) == 16


def test_a_value_that_stands_twice_is_refused():
    found = gate(change_evaluation=lambda row: [row, row] if f"{row['mixture']}/{row['run']}" == OTHER else [row])
    assert the_refused(found) == "it has 2 values of bits_per_byte on held-out code"


def test_another_version_of_the_evaluation_is_refused():
    found = gate(change_evaluation=lambda row: [changed(OTHER, version="v2")(row)])
    assert the_refused(found) == "it was evaluated by version v2 of held-out code, not by v1: evaluate it again"


def test_what_changed_between_the_versions_is_said():
    """The evaluations of one mixture are of other items than those of the two others."""
    three = study(mixtures=("raw", "clean", "quality"), sizes=("30k",), budgets=(1,))
    write_runs(three, {**FACTORS, "quality": 0.9}, change_evaluation=lambda row: [{**row, "version": "v2"} if row["mixture"] == "raw" else row])
    for mixture in three.mixtures:
        path = layout.EVALUATIONS / f"{mixture}.parquet"
        items = ("one", "two", "four") if mixture == "raw" else ("one", "two", "three")
        outlines = {f"heldout/{domain}": Outline(harness="assay", settings={"context": 64}, items=items) for domain in ("code", "legal")}
        table = pq.read_table(path)
        pq.write_table(table.cast(with_outlines(table.schema, outlines)), path)
    found = through_gate(three)
    assert {refused.mixture for refused in found.refused} == {"raw"}
    assert found.refused[0].reason == (
        "it was evaluated by version v2 of held-out code, not by v1 (1 of 3 items are new, 1 of 3 are gone): evaluate it again"
    )


def test_without_a_common_version_all_are_refused():
    found = gate(change_evaluation=lambda row: [{**row, "version": row["mixture"]}])
    assert not found.admitted and len(found.refused) == 16
    assert "several versions of held-out code" in found.refused[0].reason


def test_a_model_that_was_evaluated_before_its_end_is_refused():
    found = gate(change_evaluation=lambda row: [changed(OTHER, tokens=1000)(row)])
    assert "it was evaluated after 1000 of " in the_refused(found)


def test_a_run_on_another_version_of_the_data_is_refused():
    reason = the_refused(gate(changed(OTHER, tokens_md5_by_domain={"code": "01d", "legal": "1e9a1"})))
    assert reason == "it read version 01d of the code tokens of recipe raw, most runs c0de: train it again"


def test_recipes_have_versions_of_their_own():
    found = gate(lambda row: {**row, "recipe": row["mixture"], "tokens_md5_by_domain": {"code": row["mixture"]}})
    assert len(found.admitted) == 16


def test_without_a_common_version_of_the_data_its_runs_are_refused():
    found = gate(lambda row: {**row, "tokens_md5_by_domain": {"code": row["mixture"]}})
    assert not found.admitted and len(found.refused) == 16
    assert "read several versions of its code tokens" in found.refused[0].reason


def test_the_same_run_counts_once():
    reason = the_refused(gate(same_key))
    assert "the same run as raw/30k-1x-seed1" in reason


def same_key(row):
    return {**row, "run_key": "0123456789abcdef"} if row["run"].startswith("30k-1x") and row["mixture"] == "raw" else row


def test_a_missing_run_is_listed():
    found = gate(lambda row: None if f"{row['mixture']}/{row['run']}" == OTHER else row)
    assert the_refused(found).startswith("it is missing: there is no results/runs/raw/30k-1x-seed2/result.json")


def test_a_result_of_another_run_is_refused():
    gate()
    path = layout.RUNS / OTHER / "result.json"
    path.write_text((layout.RUNS / "raw/30k-1x-seed1/result.json").read_text())
    assert "is not the result of this run" in the_refused(through_gate(study(mixtures=tuple(FACTORS), sizes=("30k", "100k"))))
    path.write_text("{")
    assert "is not the result of this run" in the_refused(through_gate(study(mixtures=tuple(FACTORS), sizes=("30k", "100k"))))


def test_runs_outside_the_study_do_not_enter():
    write_runs(study(mixtures=("raw", "clean", "quality")), {"raw": 1.1, "clean": 1.0, "quality": 0.9})
    found = through_gate(study(mixtures=("raw", "clean"), sizes=("30k", "100k"), seeds=(2,)))
    assert {(run.result.mixture, run.result.size, run.result.seed) for run in found.admitted} == {
        (mixture, size, 2) for mixture in ("raw", "clean") for size in ("30k", "100k")
    }
    assert not found.refused


def test_missing_stages_are_named():
    with pytest.raises(StudyError, match="no runs of mixture 'raw' in results/runs/raw"):
        through_gate(study(mixtures=("raw",)))
    gate()
    (layout.EVALUATIONS / "clean.parquet").unlink()
    with pytest.raises(StudyError, match=r"no evaluations of mixture 'clean' in results/evaluations/clean.parquet"):
        through_gate(study(mixtures=tuple(FACTORS)))


def test_without_any_evaluation_there_is_nothing_to_fit():
    with pytest.raises(StudyError, match="no held-out domain"):
        gate(change_evaluation=lambda row: [])


def test_negative_weights_are_refused():
    with pytest.raises(StudyError, match="must not be negative"):
        gate(domain_weights={"code": 1.5, "legal": -0.5})
    assert pq.read_table(layout.EVALUATIONS / "raw.parquet").num_rows == 16
