from typing import Any

import pytest

from tasks.benchmarks.checkpoint_average import average_rows


def row(value: Any, stderr: Any = 0.1, tokens: int = 10, **others: Any) -> dict[str, Any]:
    return {"benchmark": "b", "metric": "m", "value": value, "stderr": stderr, "tokens": tokens, "version": "v", "checkpoint": "snapshot"} | others


def test_the_mean_stands_under_the_last_models_tokens_and_says_of_how_many_it_is():
    [mean] = average_rows([[row(1.0, 0.1)], [row(2.0, 0.3, tokens=20, checkpoint="final")]])
    assert mean == row(1.5, pytest.approx(0.2), tokens=20, checkpoint="average", version="v-mean-of-2")


def test_what_one_model_lacks_is_missing_in_the_mean():
    [mean] = average_rows([[row(None, None)], [row(2.0)]])
    assert (mean["value"], mean["stderr"]) == (None, None)


def test_other_questions_are_never_averaged():
    with pytest.raises(AssertionError):
        average_rows([[row(1.0)], [row(1.0, version="other")]])
