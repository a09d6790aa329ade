import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.ladder import PRESETS, num_params
from models.training_plan import MAX_LEARNING_RATE, ROWS_PER_RUN, TrainingConfig, TrainingPlan, plan, shared_steps


def planned(budget_tokens: int = 1_000_000, size: str = "100k", **config) -> TrainingPlan:
    return plan(PRESETS[size], 1024, budget_tokens, TrainingConfig(**config))


def test_step_law_gives_the_batch_and_the_rate_of_its_paper():
    """For N = 127M (without embeddings) and D = 20B: 1.79 N^-0.713 D^0.307 = 4.33e-3, 0.58 D^0.571 = 442k tokens."""
    at_scale = planned(20_000_000_000, "125m", sequence_length=2048)
    assert at_scale.peak_learning_rate == pytest.approx(4.33e-3, rel=0.01)
    assert at_scale.batch_sequences == 224  # 216 to the nearest multiple of 32
    assert planned(100_000, "10k").peak_learning_rate == MAX_LEARNING_RATE


@given(budget_tokens=st.integers(50_000, 10**10), sequence_length=st.sampled_from([64, 256, 2048]))
def test_whole_batches_come_within_half_a_batch_of_the_budget(budget_tokens, sequence_length):
    try:
        p = planned(budget_tokens, sequence_length=sequence_length)
    except ValueError:
        return
    assert abs(p.tokens_seen - budget_tokens) <= p.batch_tokens / 2
    assert all(p.batch_sequences % ranks == 0 for ranks in (1, 2, 4))
    assert p.batch_sequences < 32 or p.batch_sequences % 8 == 0
    assert p.batch_sequences < 64 or p.batch_sequences % 16 == 0


def test_a_given_batch_and_rate_are_taken_as_they_are():
    p = planned(batch_tokens=768, learning_rate=0.003)
    assert (p.batch_sequences, p.peak_learning_rate) == (3, 0.003)
    with pytest.raises(ValidationError, match="batch_tokens 1000 must be a multiple of sequence_length 256"):
        TrainingConfig(batch_tokens=1000)


def test_a_budget_of_a_few_steps_is_refused():
    with pytest.raises(ValueError, match="a budget of 9,000 tokens is 9 steps of 1,024 tokens, fewer than 10"):
        planned(9_000)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_the_rate_warms_up_to_its_peak_and_ends_near_its_final_value(schedule):
    p = planned(learning_rate=0.01, schedule=schedule, warmup_share=0.1, final_learning_rate_share=0.1, batch_tokens=2560)
    rates = [p.learning_rate_at(step) for step in range(p.steps)]
    assert rates[0] == pytest.approx(0.01 / p.warmup_steps)
    assert max(rates) == pytest.approx(0.01)
    assert rates[: p.warmup_steps] == sorted(rates[: p.warmup_steps])
    assert rates[p.warmup_steps :] == sorted(rates[p.warmup_steps :], reverse=True)
    assert 0.001 < rates[-1] < 0.0016


def test_wsd_is_stable_until_it_decays():
    p = planned(learning_rate=0.01, schedule="wsd", warmup_share=0.1, decay_share=0.25)
    stable = [p.learning_rate_at(step) for step in range(p.warmup_steps, p.steps - p.decay_steps + 1)]
    assert stable == pytest.approx([0.01] * len(stable))
    assert p.decay_steps == pytest.approx(p.steps / 4, abs=1)
    with pytest.raises(ValidationError, match="more than the whole run"):
        TrainingConfig(schedule="wsd", warmup_share=0.5, decay_share=0.6)


@given(budget_tokens=st.integers(21_000, 10**8))
def test_metrics_get_evenly_spaced_rows_and_one_at_the_end(budget_tokens):
    p = planned(budget_tokens)
    logged = [step for step in range(1, min(p.steps, 20_000) + 1) if p.is_logged(step)]
    if p.steps <= 20_000:
        assert len(logged) == min(p.steps, ROWS_PER_RUN)
        assert logged[-1] == p.steps
    gaps = {later - earlier for earlier, later in pairwise(logged)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_warm_up_takes_as_many_tokens_as_parameters_up_to_a_share_of_the_run():
    parameters = num_params(PRESETS["100k"], 1024)
    long = planned(20 * parameters)
    assert long.warmup_steps == math.ceil(parameters / long.batch_tokens)
    short = planned(parameters, warmup_share=0.3)
    assert short.warmup_steps == math.ceil(0.3 * short.steps)


def test_a_constant_rate_stays_and_its_last_models_are_averaged():
    p = planned(learning_rate=0.01, schedule="constant", average_models=4, decay_share=0.2)
    assert [p.learning_rate_at(step) for step in range(p.warmup_steps, p.steps)] == pytest.approx([0.01] * (p.steps - p.warmup_steps))
    assert len(p.averaged_steps) == 4 and p.averaged_steps[-1] == p.steps
    assert p.averaged_steps[0] >= 0.8 * p.steps
    assert planned().averaged_steps == ()
    with pytest.raises(ValueError, match=r"average_models 500 is more than the \d+ steps of training.decay_share"):
        planned(average_models=500)


def test_the_power_schedule_is_the_papers_and_knows_no_horizon():
    """arXiv 2408.13359: 4 n^-0.51 for each 4,096 tokens of the batch; a power of n falls by 2^0.51 where n doubles."""
    long = planned(10**8, schedule="power", learning_rate=1.0, batch_tokens=4096, warmup_share=0.01)
    assert long.learning_rate_at(9_999) == pytest.approx(4 * (10_000 * 4096) ** -0.51)
    assert long.learning_rate_at(1_999) / long.learning_rate_at(3_999) == pytest.approx(2**0.51)
    short = planned(5 * 10**7, schedule="power", learning_rate=1.0, batch_tokens=4096, warmup_share=0.01)
    assert [short.learning_rate_at(step) for step in range(200, 9_000, 100)] == [long.learning_rate_at(step) for step in range(200, 9_000, 100)]
    assert short.learning_rate_at(short.steps - 1) < 0.15 * short.learning_rate_at(short.steps - short.decay_steps)
    capped = planned(10**8, schedule="power", learning_rate=1e-4, batch_tokens=4096)
    assert capped.learning_rate_at(capped.steps // 2) == 1e-4


@pytest.mark.parametrize("schedule", ["wsd", "power"])
def test_horizons_of_one_trunk_share_all_but_their_decay(schedule):
    shared = TrainingConfig(schedule=schedule, shared_trunk=True)
    short, long = (plan(PRESETS["100k"], 1024, budget, shared, shortest_budget_tokens=500_000) for budget in (500_000, 2_000_000))
    assert (short.batch_tokens, short.peak_learning_rate, short.warmup_steps) == (long.batch_tokens, long.peak_learning_rate, long.warmup_steps)
    assert short == plan(PRESETS["100k"], 1024, 500_000, shared)
    trunk = short.trunk_steps or 0
    assert trunk == short.steps - short.decay_steps and long.steps == pytest.approx(4 * short.steps, abs=3)
    assert [short.learning_rate_at(step) for step in range(trunk)] == [long.learning_rate_at(step) for step in range(trunk)]
    assert [short.is_logged(step) for step in range(1, trunk + 1)] == [long.is_logged(step) for step in range(1, trunk + 1)]
    assert long.is_logged(long.steps)
    assert shared_steps(long, (), [short, long]) == trunk and shared_steps(short, (), [short, long]) == 0
    assert shared_steps(long, (0.05,), [short, long]) == 0, "a model that is kept before the trunk ends must be trained"
    with pytest.raises(ValidationError, match="cosine depends on its horizon from the start"):
        TrainingConfig(shared_trunk=True)
