"""The plan's figures against the ladder's, and what was trained beside them."""

import pytest
import yaml

from models.frozen import StudyError
from models.ladder import PRESETS, num_params
from models.weight_hooks.doremi import DoReMi
from tasks import layout
from tasks.atomic import write_json
from tasks.plan import plan_study, tokenized_recipes
from tasks.pretrain import planned_runs
from tasks.run_directory import RunOutcome
from tasks.study import Study, load_study
from tasks.throughput import known_throughputs, setting_of
from tasks.tokenize_corpus import load_tokens
from tests.tasks.token_shards import write_token_shards

PARAMS = {
    "name": "planned",
    "question": "What does it cost?",
    "sources": {"files": {"kind": "huggingface", "path": "x", "domain": "code"}, "more": {"kind": "huggingface", "path": "y", "domain": "legal"}},
    "recipes": {"raw": {"from": "pool"}},
    "mixtures": {"m": {"recipe": "raw", "weights": {"code": 0.75, "legal": 0.25}}},
    "tokenizer": {"vocab_size": 256},
    "ladder": {"sizes": ["10k", "30k"], "tokens_per_parameter": [1], "seeds": [1, 2]},
    "hardware": {"ranks": 4, "price_per_gpu_hour": 3.6},
    "target": {"num_params": 1e6, "tokens": 1e7},
}


@pytest.fixture
def study(study_folder) -> Study:
    layout.PARAMS.write_text(yaml.safe_dump(PARAMS))
    return load_study()


@pytest.fixture
def tokenized(study) -> Study:
    write_token_shards(layout.TOKENS / "raw", {"code": 10_000, "legal": 20_000}, vocab_size=256)
    return study


def train(study: Study, seconds: float, diverged_at: int | None = None) -> None:
    """What training leaves of the first of the larger runs."""
    run = next(run for run in planned_runs(study, "m", load_tokens(layout.TOKENS / "raw")) if run.rung.size == "30k")
    run.directory.write_spec(run.spec)
    steps = diverged_at or run.plan.steps
    rate = steps * run.plan.batch_tokens / seconds
    write_json(run.directory.timing_file, {"wall_seconds": seconds, "tokens_per_second": rate, "ranks": 4})
    status = "diverged" if diverged_at else "completed"
    write_json(run.directory.result_file, RunOutcome(status=status, steps=steps, final_train_loss=None).model_dump())


def test_counts_runs_tokens_and_flops(study):
    plan = plan_study(study)
    small, large = plan.rungs
    assert (small.size, small.runs, plan.runs) == ("10k", 2, 4)
    assert small.num_params == num_params(PRESETS["10k"], 256)
    assert abs(small.tokens - small.num_params) <= small.training.batch_tokens / 2 and small.shared_steps == 0
    assert plan.tokens == 2 * small.tokens + 2 * large.tokens
    assert plan.train_flops == small.train_flops + large.train_flops > 6 * 2 * small.tokens * small.num_params_non_embedding
    assert not plan.tokens_are_counted and plan.epochs == () and plan.seconds is None and plan.price is None


def test_what_a_hook_measures_against_is_a_run_too(study):
    hooked = study.model_copy(update={"mixtures": study.mixtures | {"h": study.mixtures["m"].model_copy(update={"hook": DoReMi()})}})
    assert plan_study(hooked).runs == 3 * plan_study(study).runs


def test_epochs_at_both_scales(tokenized):
    plan = plan_study(tokenized)
    code, legal = plan.epochs
    assert (code.domain, code.unique_tokens, code.trained_epochs) == ("code", 10_000, None)
    assert code.epochs == pytest.approx(0.75 * plan.rungs[1].tokens / 10_000)
    assert legal.target_epochs == pytest.approx(0.25 * 1e7 / 20_000)


def test_what_is_trained_stands_beside_what_is_planned(tokenized):
    train(tokenized, seconds=10.0)
    small, large = (plan := plan_study(tokenized)).rungs
    assert (small.trained.runs, large.trained.runs, large.trained.tokens) == (0, 1, large.tokens)
    assert large.trained.train_flops == large.train_flops / 2
    assert (plan.trained.seconds, plan.trained_price) == (10.0, pytest.approx(10 / 3600 * 4 * 3.6))
    assert [row.trained_epochs for row in plan.epochs] == pytest.approx([row.epochs for row in plan.epochs], rel=0.1)


def test_finished_runs_tell_the_time_and_the_price_of_the_rest(tokenized):
    train(tokenized, seconds=10.0)
    small, large = (plan := plan_study(tokenized)).rungs
    assert large.throughput and large.throughput.source == "finished runs" and large.seconds == pytest.approx(20.0)
    assert small.throughput and small.throughput.source == "FLOPs of 30k"
    assert small.seconds == pytest.approx(20.0 * small.train_flops / large.train_flops)
    assert plan.seconds and plan.price == pytest.approx(plan.seconds / 3600 * 4 * 3.6)


def test_a_diverged_run_counts_as_far_as_it_came(tokenized):
    train(tokenized, seconds=10.0, diverged_at=5)
    large = plan_study(tokenized).rungs[1]
    assert (large.trained.runs, large.trained.diverged, large.trained.tokens) == (1, 1, 5 * large.training.batch_tokens)


def test_finished_runs_of_another_setting_tell_nothing(tokenized):
    train(tokenized, seconds=10.0)
    run = planned_runs(tokenized, "m", load_tokens(layout.TOKENS / "raw"))[-1]
    hardware = tokenized.hardware.model_copy(update={"ranks": 2})
    assert not known_throughputs([setting_of(run.spec.shape, 256, run.plan, tokenized.training, hardware)])


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"mixtures": {"other": {"recipe": "raw", "weights": "natural"}}}, True),
        ({"recipes": {"raw": {"from": "pool", "steps": [{"step": "exact-duplicates"}]}}}, False),
        ({"seed": 1}, False),
        ({"tokenizer": {"vocab_size": 512}}, False),
    ],
)
def test_tokens_of_other_parameters_are_not_taken_for_those_of_this_file(tokenized, changes, counted):
    other = Study.model_validate(PARAMS | changes)
    assert bool(tokenized_recipes(other)) == counted == plan_study(other).tokens_are_counted


def test_a_budget_too_small_is_told(study):
    ladder = PARAMS["ladder"] | {"tokens_per_parameter": [1e-3]}
    with pytest.raises(StudyError, match=r"Runs 10k-0\.001x can't be trained: .*raise the budget"):
        plan_study(Study.model_validate(PARAMS | {"ladder": ladder}))


def test_a_swarm_is_counted_beside_the_ladder(tokenized):
    swarm = {"recipe": "raw", "size": "10k", "tokens_per_parameter": 1, "mixtures": 6}
    study = Study.model_validate(PARAMS | {"swarms": {"s": swarm}})
    [planned], without = plan_study(study).swarms, plan_study(tokenized)
    assert (planned.runs, planned.tokens, planned.num_params) == (6, without.rungs[0].tokens, without.rungs[0].num_params)
    assert planned.train_flops * 2 == without.rungs[0].train_flops and planned.most_epochs and planned.most_epochs > 0.5
    assert plan_study(study).runs == without.runs
