"""Where the runs of a swarm stand: every fact that makes one unusable, and progress while they train together."""

import os
from contextlib import ExitStack

import pytest

from tasks import layout
from tasks.atomic import write_json
from tasks.launches import LAUNCHES
from tasks.pretrain import PlannedRun, result_of
from tasks.run_states import State
from tasks.study import Study, Swarm
from tasks.swarm import planned_members, row_of, write_csv
from tasks.swarm_states import swarm_standings
from tasks.tokenize_corpus import load_tokens
from tests.tasks import trained_study

SWARM = Swarm(recipe="raw", size="10k", tokens_per_parameter=0.9, mixtures=5)


@pytest.fixture
def study(study_folder, default_study) -> Study:
    return trained_study.with_small_batches(default_study.model_copy(update={"mixtures": {}, "swarms": {"s": SWARM}}))


@pytest.fixture
def members(study) -> list[PlannedRun]:
    """Planned; nothing is trained."""
    trained_study.write_data()
    found = planned_members(study, "s", load_tokens(layout.TOKENS / "raw"))
    for run in found:
        run.directory.write_spec(run.spec)
    return found


def publish(members: list[PlannedRun], **changes: object) -> None:
    """The table of runs; `changes` spoil its first row."""
    rows = [{layout.INDEX: index, **row_of(result_of(run, f"s/{index}", "raw"))} for index, run in enumerate(members)]
    (layout.SWARMS / "s").mkdir(parents=True, exist_ok=True)
    write_csv([rows[0] | changes, *rows[1:]], layout.SWARMS / "s" / "runs.csv")


def finish(members: list[PlannedRun]) -> None:
    for run in members:
        trained_study.finish(run)


def states(study: Study, **outdated: str) -> list[tuple[State, str | None]]:
    return [(one.state, one.sentence) for one in swarm_standings(study, outdated)]


def test_before_training(study):
    assert states(study) == [(State.WAITING, "recipe raw is not tokenized yet")] * 5
    trained_study.write_data()
    assert states(study) == [(State.WAITING, "it is not trained yet")] * 5


def test_done(study, members):
    finish(members)
    publish(members)
    found = swarm_standings(study, {})
    assert [(one.mixture, one.run, one.run_key, one.state) for one in found] == [
        ("swarm s", str(index), run.spec.key, State.DONE) for index, run in enumerate(members)
    ]
    assert states(study, raw="curate@raw") == [(State.STALE, "its tokens are out of date: curate@raw")] * 5


@pytest.mark.parametrize(
    ("changes", "state", "sentence"),
    [
        ({"status": "diverged", "tokens_seen": 512}, State.FAILED, "it diverged after 512 of "),
        ({"tokens_seen": 512}, State.STALE, "it has 512 of "),
        ({"run_key": "0123456789abcdef"}, State.WAITING, "it is trained; its result is published with the others of its swarm"),
    ],
)
def test_one_that_cannot_be_used(study, members, changes, state, sentence):
    finish(members)
    publish(members, **changes)
    (found, said), *others = states(study)
    assert found is state and said and said.startswith(sentence) and {other for other, _ in others} == {State.DONE}


def test_another_configuration(study, members):
    finish(members)
    publish(members)
    warmer = study.model_copy(update={"training": study.training.model_copy(update={"learning_rate": 0.02})})
    assert {state for state, _ in states(warmer)} == {State.STALE}


def test_a_swarm_that_cannot_be_trained_is_told_for_all_runs(study, members):
    short = study.model_copy(update={"swarms": {"s": SWARM.model_copy(update={"tokens_per_parameter": 0.01})}})
    found = states(short)
    assert len(found) == 5 and found[0][0] is State.FAILED and found[0][1] and "swarms.s can't be trained" in found[0][1]


def test_progress_while_they_train_together(study, members):
    steps = members[0].plan.steps
    write_json(LAUNCHES / "swarm-s.json", {})
    os.utime(LAUNCHES / "swarm-s.json", (1000, 1000))
    for run in members[:2]:
        trained_study.train(run, steps=steps // 2)
        os.utime(run.directory.metrics_file, (1010, 1010))
    with ExitStack() as locks:
        for run in members:
            locks.enter_context(run.directory.lock())
        found = swarm_standings(study, {})
    assert {(one.state, one.sentence) for one in found} == {(State.RUNNING, "trains together with the others")}
    done, target = steps // 2 * 512, members[0].plan.tokens_seen
    assert [one.tokens for one in found] == [done, done, 0, 0, 0]
    assert found[0].seconds_left == pytest.approx((5 * target - 2 * done) / (2 * done / 10))
    assert states(study)[0] == (State.WAITING, "it stopped on its way, and goes on later")
