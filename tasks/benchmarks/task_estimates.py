"""From what lm-eval logs of a task's items to estimates: its own metrics, and ours from its log-likelihoods."""

import math
from collections.abc import Sequence
from typing import Any

from lm_eval.api.task import ConfigurableTask

from tasks.benchmarks.choice_metrics import (
    ACCURACY,
    BY_USE,
    MUTUAL_INFORMATION_ACCURACY,
    NORMALIZED_ACCURACY,
    answer_metrics,
    averages,
    choice_metrics,
)
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.loading import is_single_choice, right_choice

OUR_NAMES = {"acc": ACCURACY, "acc_norm": NORMALIZED_ACCURACY, "acc_mutual_info": MUTUAL_INFORMATION_ACCURACY}
TRUNCATED_ITEMS = "truncated_items"  # how many had a prompt that was cut on the left to fit the context; no row where there were none

ItemMetrics = dict[str, float]


def estimates_of(name: str, results: dict[str, Any], items: Sequence[ItemMetrics], num_items: int, num_truncated: int) -> dict[str, Estimate]:
    """Of a task, or of a group over the items of all its tasks; those that are most useful for decisions first."""
    theirs = harness_estimates(results, num_items)
    ours = averages(items) if items else {}
    if any(estimate.value is None for estimate in ours.values()):  # lm-eval takes one of several NaNs for the likeliest
        theirs = dict.fromkeys(theirs, Estimate(value=None, count=num_items))
    for metric in ours.keys() & theirs.keys():
        assert agree(ours[metric].value, theirs[metric].value), (name, metric, ours[metric], theirs[metric])
    found = theirs | ours
    ordered = [metric for metric in BY_USE if metric in found] + [metric for metric in found if metric not in BY_USE]
    counted = {TRUNCATED_ITEMS: Estimate(value=num_truncated, count=num_items)} if num_truncated else {}
    return {metric: found[metric] for metric in ordered} | counted


def metrics_of_items(task: ConfigurableTask, samples: Sequence[dict[str, Any]]) -> list[ItemMetrics]:
    """Ours; none of a task that is neither a choice with one right answer nor an answer's likelihood."""
    if is_single_choice(task):
        return [choice_item(task, sample) for sample in samples]
    if task.OUTPUT_TYPE == "loglikelihood":
        return [answer_item(sample) for sample in samples]
    return []


def choice_item(task: ConfigurableTask, sample: dict[str, Any]) -> ItemMetrics:
    """Metrics of one item from the log-likelihoods that lm-eval logged. With mutual information, the choices' unconditional ones follow."""
    nats = [log_likelihood for log_likelihood, _ in sample["filtered_resps"]]
    choices = task.doc_to_choice(sample["doc"])
    num_bytes = [len(arguments[1].encode()) for arguments in sample["arguments"][: len(choices)]]
    num_characters = None if task.multiple_input else [len(choice) for choice in choices]
    right = right_choice(task, sample["doc"])
    assert right is not None  # checked when the task was loaded
    return choice_metrics(nats[: len(choices)], nats[len(choices) :] or None, num_bytes, right, num_characters)


def answer_item(sample: dict[str, Any]) -> ItemMetrics:
    ((nats, likeliest),), ((_, answer),) = sample["filtered_resps"], sample["arguments"]
    return answer_metrics(nats, likeliest, len(answer.encode()))


def count_truncated(samples: Sequence[dict[str, Any]], truncated: set[tuple[str, str]]) -> int:
    return sum(any(tuple(arguments[:2]) in truncated for arguments in sample["arguments"]) for sample in samples)


def harness_estimates(results: dict[str, Any], count: int) -> dict[str, Estimate]:
    """lm-eval's own metrics (`acc,none`, `acc_stderr,none`), under our names where we have one."""
    estimates = {}
    for key, value in results.items():
        if "," in key and "_stderr," not in key and isinstance(value, int | float):
            stderr = results.get(key.replace(",", "_stderr,", 1))
            estimates[OUR_NAMES.get(key.split(",")[0], key)] = Estimate(value=finite(value), stderr=finite(stderr), count=count)
    return estimates


def agree(value: float | None, other: float | None) -> bool:
    return value == other or (value is not None and other is not None and math.isclose(value, other, abs_tol=1e-9))


def finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
