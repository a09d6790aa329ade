"""Where runs stand: every fact that makes one unusable, changed one at a time; progress and time left of one that trains."""

import json
import os

import pyarrow.parquet as pq
import pytest

from models.ladder import Ladder
from tasks import layout
from tasks.launches import LAUNCHES
from tasks.pretrain import PlannedRun
from tasks.run_states import RunStanding, State, run_standings
from tasks.study import Mixture, Study
from tests.tasks import trained_study


@pytest.fixture
def study(study_folder, default_study) -> Study:
    """Four runs of one mixture: two sizes, two seeds."""
    mixture = Mixture(recipe="raw", weights={"code": 0.5, "dictionary": 0.5})
    ladder = Ladder(sizes=("30k", "100k"), tokens_per_parameter=(1,), seeds=(1, 2))
    return trained_study.with_small_batches(default_study.model_copy(update={"mixtures": {"m": mixture}, "ladder": ladder}))


@pytest.fixture
def runs(study) -> list[PlannedRun]:
    return trained_study.write_trained(study)


def standings(study: Study, **outdated: str) -> list[RunStanding]:
    return run_standings(study, outdated)


def first(study: Study) -> tuple[State, str | None]:
    """Where the first run stands. All others are done."""
    found, *others = standings(study)
    assert {other.state for other in others} == {State.DONE}
    return found.state, found.sentence


def test_all_are_done_and_can_be_used(study, runs):
    assert [(one.run, one.run_key, one.state, one.sentence) for one in standings(study)] == [
        (run.rung.name, run.spec.key, State.DONE, None) for run in runs
    ]


def test_nothing_is_there_yet(study):
    assert {(one.state, one.sentence) for one in standings(study)} == {(State.WAITING, "recipe raw is not tokenized yet")}
    trained_study.write_data()
    assert {(one.state, one.sentence) for one in standings(study)} == {(State.WAITING, "it is not trained yet")}


def test_a_diverged_run_failed(study, runs):
    trained_study.publish(study, runs[:1], status="diverged", steps=7, final_train_loss=None)
    assert first(study) == (State.FAILED, f"it diverged after 7 of {runs[0].plan.steps} steps")


def test_a_run_that_is_short_of_its_target_step(study, runs):
    trained_study.publish(study, runs[:1], steps=7, target_steps=7)  # it says of itself that it is whole
    assert first(study) == (State.STALE, f"it has 7 of {runs[0].plan.steps} steps")


def test_a_result_that_names_other_data(study, runs):
    trained_study.publish(study, runs[:1], tokens_md5_by_domain={"code": "c0de", "dictionary": "d1c7"})
    assert first(study) == (State.STALE, "its result names other tokens than its spec")


def test_other_tokens_on_disk_are_another_spec(study, runs):
    manifest = json.loads((layout.TOKENS / "raw/manifest.json").read_text())
    manifest["domains"]["code"]["md5"] = "0" * 32
    (layout.TOKENS / "raw/manifest.json").write_text(json.dumps(manifest))
    assert {(one.state, one.sentence) for one in standings(study)} == {(State.STALE, "it was trained with another spec: the tokens")}


def test_another_configuration_is_another_spec(study, runs):
    warmer = study.model_copy(update={"training": study.training.model_copy(update={"learning_rate": 0.02})})
    assert {one.sentence for one in standings(warmer)} == {"it was trained with another spec: training"}


def test_tokens_that_are_to_be_made_again(study, runs):
    assert {(one.state, one.sentence) for one in standings(study, raw="needs curate@raw")} == {
        (State.STALE, "its tokens are out of date: needs curate@raw")
    }


def test_a_run_without_evaluation_waits(study, runs):
    trained_study.evaluate(study, runs[1:])
    assert first(study) == (State.WAITING, "it is trained, and not evaluated yet")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "old"}, "it was evaluated by version old of held-out code, not by "),
        ({"tokens": 512}, "on held-out code it was evaluated after 512 of "),
        ({"value": None}, "its bits_per_byte on held-out code is None, not a positive number"),
    ],
)
def test_an_evaluation_of_something_else(study, runs, change, sentence):
    trained_study.evaluate(study, runs, **change)
    state, said = first(study)
    assert state is State.STALE and said is not None and said.startswith(sentence)


def test_other_held_out_documents_are_another_version(study, runs):
    (path,) = layout.HELDOUT.glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    (found,) = {(one.state, one.sentence) for one in standings(study)}
    assert found[0] is State.STALE and found[1] and found[1].startswith("it was evaluated by version ")
    path.unlink()
    assert {one.sentence for one in standings(study)} == {"there are no held-out documents in data/heldout that its evaluation could be of"}


def test_a_weight_that_no_data_can_meet_is_told_for_all_runs(study, runs):
    hungry = study.model_copy(update={"mixtures": {"m": Mixture(recipe="raw", weights={"legal": 1.0})}})
    found = standings(hungry)
    assert len(found) == 4 and {one.state for one in found} == {State.FAILED}
    assert found[0].sentence and "the recipe leaves no tokens of it" in found[0].sentence


def at(path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def test_progress_and_time_left_while_it_trains(study):
    trained_study.write_data()
    small, small_too, big, big_too = runs = trained_study.plan(study)
    trained_study.begin(study, runs)
    trained_study.finish(small, tokens_per_second=1000.0)
    trained_study.train(small_too, steps=20)
    # launched at 1000, the first run was finished at 1100, the second has come to step 20 at 1120: 512 tokens per second
    at(LAUNCHES / "m.json", 1000)
    at(small.directory.result_file, 1100)
    at(small_too.directory.metrics_file, 1120)
    with small.directory.lock(), small_too.directory.lock(), big.directory.lock(), big_too.directory.lock():
        found = standings(study)
    assert [one.state for one in found] == [State.WAITING, State.RUNNING, State.WAITING, State.WAITING]
    assert found[0].sentence == "it is trained; its result is published with the others of its mixture"
    share = 20 * 512 / small.plan.tokens_seen
    assert [one.sentence for one in found[1:]] == [f"trains, {share:.0%} done", "its turn comes", "its turn comes"]
    assert [one.tokens for one in found] == [small.plan.tokens_seen, 20 * 512, 0, 0]
    left = (small_too.plan.tokens_seen - 20 * 512) / 512
    assert found[1].seconds_left == pytest.approx(left)
    # no run of the larger shape was ever finished: by FLOPs, at the speed of the one that trains
    each = small.plan.tokens_seen / 512 * big.plan.train_flops / small.plan.train_flops
    assert found[2].seconds_left == pytest.approx(left + each) and found[3].seconds_left == pytest.approx(left + 2 * each)


def test_time_left_after_a_checkpoint_and_by_what_others_took(study):
    trained_study.write_data()
    small, small_too, big, big_too = runs = trained_study.plan(study)
    trained_study.begin(study, runs)
    trained_study.finish(big, tokens_per_second=256.0)
    trained_study.train(small, steps=30)
    small.directory.checkpoints.mkdir()
    (small.directory.checkpoints / "list.json").write_text(json.dumps([{"tag": "step-10", "step": 10}]))
    # resumed at 1000 from step 10, at 1040 at step 30
    for path in (LAUNCHES / "m.json", big.directory.result_file):
        at(path, 1000)
    at(small.directory.checkpoints / "list.json", 900)
    at(small.directory.metrics_file, 1040)
    with small.directory.lock(), small_too.directory.lock(), big_too.directory.lock():
        found = standings(study)
    assert found[0].seconds_left == pytest.approx((small.plan.tokens_seen - 30 * 512) / 256)
    before = found[1].seconds_left
    assert before and found[3].seconds_left == pytest.approx(before + big.plan.tokens_seen / 256)


def test_a_run_that_was_killed_goes_on_later(study):
    trained_study.write_data()
    runs = trained_study.plan(study)
    trained_study.begin(study, runs)
    trained_study.train(runs[0], steps=5)
    found = standings(study)[0]
    assert found.state is State.WAITING and found.tokens == 5 * 512
    assert found.sentence == f"it stopped after 2,560 of {runs[0].plan.tokens_seen:,} tokens, and goes on from its last checkpoint"
