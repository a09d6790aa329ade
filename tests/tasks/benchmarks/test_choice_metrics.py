import math

import pytest

from tasks.benchmarks.choice_metrics import BY_USE, answer_metrics, average, averages, choice_metrics


def test_metrics_of_an_item():
    nats, unconditional_nats = [-10.0, -12.0, -30.0, -8.0], [-16.0, -13.0, -30.0, -9.0]
    metrics = choice_metrics(nats, unconditional_nats, num_bytes=[10, 4, 20, 4], right=0, num_characters=[10, 3, 10, 3])
    total = 1 + math.exp(-2) + math.exp(-20) + math.exp(2)
    information = math.exp(6) + math.exp(1) + 1 + math.exp(1)
    assert metrics == pytest.approx(
        {
            "accuracy": 0.0,  # the last is likelier
            "normalized_accuracy": 1.0,  # but not per character
            "answer_bits_per_byte": 1 / math.log(2),
            "correct_choice_log_likelihood": -1.0,
            "correct_choice_probability": 1 / total,
            "margin": -1.0 - -1.5,  # per byte, the next best is the third
            "mutual_information_accuracy": 1.0,  # but the first gains most by its prompt
            "mutual_information_probability": math.exp(6) / information,
        }
    )


def test_without_unconditional_likelihoods_there_is_no_mutual_information():
    assert not [name for name in choice_metrics([-1.0, -2.0], None, [1, 1], 1) if "information" in name]


@pytest.mark.parametrize("failed", [math.nan, -math.inf])
def test_a_failed_item_is_missing_and_not_zero(failed):
    items = [choice_metrics(nats, None, [3, 3], 0) for nats in ([-1.0, -2.0], [-1.0, failed])]
    assert all(estimate.value is None and estimate.stderr is None and estimate.count == 2 for estimate in averages(items).values())


def test_standard_error_of_a_mean():
    estimate = average([1.0, 0.0, 0.0, 0.0])
    assert (estimate.value, estimate.stderr, estimate.count) == (0.25, pytest.approx(math.sqrt(0.25 / 4)), 4)  # the sample's variance is 0.25
    assert average([1.0]).stderr is None


def test_an_answer_without_choices():
    assert answer_metrics(-6 * math.log(2), likeliest=True, num_bytes=3) == pytest.approx(
        {"answer_bits_per_byte": 2.0, "answer_log_likelihood": -6 * math.log(2), "accuracy": 1.0}
    )
    assert all(map(math.isnan, answer_metrics(math.nan, likeliest=False, num_bytes=3).values()))


def test_continuous_metrics_come_first():
    everything = choice_metrics([-1.0, -2.0], [-1.0, -1.0], [1, 1], 0, [1, 1]) | answer_metrics(-1.0, True, 1)
    assert everything.keys() == set(BY_USE)
    assert all("accuracy" in metric for metric in BY_USE[BY_USE.index("accuracy") :])
    assert not any("accuracy" in metric for metric in BY_USE[: BY_USE.index("accuracy")])


def test_items_of_several_tasks_are_averaged_where_they_have_the_same_metrics():
    assert averages([{"accuracy": 1.0, "margin": 2.0}, {"accuracy": 0.0}]).keys() == {"accuracy"}
