import math

import numpy as np
import pytest

from models.token_stream import TokenStream
from models.weight_hooks.doremi import DoReMi
from models.weight_hooks.schedule import WeightSchedule, WeightsSet
from models.weight_hooks.stream_hook import within

START = {"legal": 0.3, "code": 0.7}
LOSSES = [{"code": 5.0, "legal": 5.0}, {"code": 0.25, "legal": 0.75}, {"code": 0.5, "legal": 0.125}]


def test_weights_are_due_before_each_stretch_and_go_on_from_what_was_set_before_a_kill():
    whole = WeightSchedule(DoReMi(intervals=3), START, steps=30)
    assert [step for step in range(30) if whole.is_due(step)] == [0]
    rows = [whole.set(losses) for losses in LOSSES]
    assert [row.step for row in rows] == [0, 10, 20]
    assert rows[0].weights_by_domain == START
    assert not whole.is_due(20)

    kept = [WeightsSet.model_validate_json(row.model_dump_json()) for row in rows[:2]]
    resumed = WeightSchedule(DoReMi(intervals=3), START, steps=30, done=kept)
    assert resumed.is_due(20)
    assert resumed.set(LOSSES[2]) == rows[2]
    assert resumed.answer() == whole.answer()
    assert whole.answer()["code"] == pytest.approx(sum(row.weights_by_domain["code"] for row in rows[1:]) / 2, abs=1e-4)


def test_no_weight_is_above_its_most_and_what_that_takes_goes_to_the_others_in_proportion():
    weights_d = np.array([0.6, 0.3, 0.1, 0.0])
    assert within(weights_d, np.ones(4)) == pytest.approx(weights_d)
    assert within(weights_d, np.array([0.2, 1, 1, 1])) == pytest.approx([0.2, 0.6, 0.2, 0])
    assert within(weights_d, np.array([0.2, 0.5, 1, 1])) == pytest.approx([0.2, 0.5, 0.3, 0])
    assert within(weights_d, np.array([0.2, 0.5, 0.1, 1])) == pytest.approx([0.2, 0.5, 0.1, 0.2])
    assert within(weights_d, np.array([0.0, 0.5, 0.0, 0.0])) == pytest.approx([0, 1, 0, 0]), "caps that are spent but for rounding"


def test_a_hook_that_wants_one_domain_keeps_its_cap_on_epochs():
    tokens = {"few": np.zeros(50 * 4 + 1, np.uint16), "many": np.zeros(500 * 4 + 1, np.uint16)}
    stream = TokenStream(tokens, {"few": 0.1, "many": 0.9}, 4, 400, seed=0)
    schedule = WeightSchedule(DoReMi(intervals=20), {"few": 0.1, "many": 0.9}, steps=100)
    for first in schedule.starts:
        most = stream.most_weights(4 * first, 4 * schedule.steps_to_set(), {"few": 3.0})
        row = schedule.set({"few": 5.0, "many": 0.0}, most)
        stream = stream.with_weights_from(4 * first, row.weights_by_domain)
    assert 2.9 < stream.epochs_by_domain(400)["few"] <= 3
    assert schedule.rows[5].weights_by_domain["few"] > 0.9
    assert schedule.rows[-1].weights_by_domain["few"] < 0.1


def test_where_a_loss_is_not_finite_the_weights_stay():
    schedule = WeightSchedule(DoReMi(intervals=3), START, steps=30)
    schedule.set(LOSSES[0])
    assert schedule.set({"code": math.nan, "legal": 1.0}) == schedule.rows[0].model_copy(update={"step": 10})


def test_losses_that_differ_in_their_last_bits_set_the_same_weights():
    weights = []
    for error in (0.0, 3e-7):
        schedule = WeightSchedule(DoReMi(intervals=3), START, steps=30)
        weights.append([schedule.set({domain: loss + error for domain, loss in losses.items()}).weights_by_domain for losses in LOSSES])
    assert weights[0] == weights[1]
