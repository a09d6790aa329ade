import pytest

from models.weight_hooks.doremi import DoReMi
from models.weight_hooks.schedule import WeightSchedule, WeightsSet

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


def test_losses_that_differ_in_their_last_bits_set_the_same_weights():
    weights = []
    for error in (0.0, 3e-7):
        schedule = WeightSchedule(DoReMi(intervals=3), START, steps=30)
        weights.append([schedule.set({domain: loss + error for domain, loss in losses.items()}).weights_by_domain for losses in LOSSES])
    assert weights[0] == weights[1]
