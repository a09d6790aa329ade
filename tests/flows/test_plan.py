"""The plan's figures against the ladder's, and its text where there is no terminal."""

import pytest

from flows.plan import plan_study, print_plan
from models.frozen import StudyError
from models.ladder import PRESETS, num_params
from tasks.study import load_study
from tests.flows.small_study import SmallStudy


def test_counts_runs_tokens_and_flops(study: SmallStudy):
    plan = plan_study(load_study())
    small, large = plan.rungs
    assert (small.size, small.runs, plan.runs) == ("30k", 2, 4)
    assert small.num_params == num_params(PRESETS["30k"], 2048)
    assert abs(small.tokens - small.num_params) <= small.batch_tokens / 2 and small.tokens == small.steps * small.batch_tokens
    assert plan.tokens == 2 * small.tokens + 2 * large.tokens
    assert plan.train_flops == small.train_flops + large.train_flops > 6 * 2 * small.tokens * small.num_params_non_embedding
    assert not plan.tokens_are_counted and plan.epochs == ()


def test_prints_plain_text(study: SmallStudy, capsys: pytest.CaptureFixture[str]):
    print_plan(plan_study(load_study()))
    printed = capsys.readouterr().out
    assert printed.isascii() and "4 runs" in printed and "known when the recipes are tokenized" in printed
    (row,) = [line for line in printed.splitlines() if line.startswith("100k")]
    assert row.split()[0] == "100k" and row.split()[-2] == "2"


def test_a_budget_too_small_is_told(study: SmallStudy):
    values = load_study().model_dump(by_alias=True)
    values["ladder"]["tokens_per_parameter"] = [1e-3]
    with pytest.raises(StudyError, match=r"Runs 30k-0\.001x can't be trained: .*raise ladder\.tokens_per_parameter"):
        plan_study(type(load_study()).model_validate(values))
