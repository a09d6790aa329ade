"""What the log-likelihoods of an item's choices say, from right or wrong to by how much. Near chance the continuous ones separate data first
(arXiv 2504.11393)."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np

from tasks.benchmarks.estimate import Estimate

ACCURACY = "accuracy"
NORMALIZED_ACCURACY = "normalized_accuracy"  # by likelihood per character: lm-eval's acc_norm
MUTUAL_INFORMATION_ACCURACY = "mutual_information_accuracy"  # by log P(choice | prompt) - log P(choice): arXiv 2104.08315
MUTUAL_INFORMATION_PROBABILITY = "mutual_information_probability"  # softmax of the same
CORRECT_CHOICE_LOG_LIKELIHOOD = "correct_choice_log_likelihood"  # nats per byte
CORRECT_CHOICE_PROBABILITY = "correct_choice_probability"  # among the choices
MARGIN = "margin"  # nats per byte from the likeliest wrong choice to the right one; negative when the item is got wrong


def choice_metrics(nats: Sequence[float], unconditional_nats: Sequence[float] | None, num_bytes: Sequence[int], right: int) -> dict[str, float]:
    """Metrics of one item.

    Args:
        nats: log-likelihood of each choice behind its prompt.
        unconditional_nats: the same without the prompt, when the task asks for mutual information.
        num_bytes: UTF-8 bytes that each of `nats` is over.
        right: index of the right choice.

    Returns:
        By name; all of them NaN when a likelihood is not finite.
    """
    logits = np.array(nats)
    per_byte = logits / np.array(num_bytes)
    metrics = {
        ACCURACY: float(logits.argmax() == right),
        CORRECT_CHOICE_LOG_LIKELIHOOD: float(per_byte[right]),
        CORRECT_CHOICE_PROBABILITY: probability(logits, right),
        MARGIN: float(per_byte[right] - np.delete(per_byte, right).max()),
    }
    if unconditional_nats is not None:
        information = logits - np.array(unconditional_nats)
        metrics[MUTUAL_INFORMATION_ACCURACY] = float(information.argmax() == right)
        metrics[MUTUAL_INFORMATION_PROBABILITY] = probability(information, right)
    finite = np.isfinite(logits).all() and (unconditional_nats is None or np.isfinite(unconditional_nats).all())
    return metrics if finite else dict.fromkeys(metrics, math.nan)


def probability(logits: np.ndarray, right: int) -> float:
    """Softmax at `right`."""
    weights = np.exp(logits - logits.max())
    return float(weights[right] / weights.sum())


def averages(items: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Means over items with their standard errors (arXiv 2411.00640, equation 1). A metric that failed on any item is missing, not zero."""
    return {metric: average([item[metric] for item in items]) for metric in items[0]}


def average(values: Sequence[float]) -> Estimate:
    if not all(map(math.isfinite, values)):
        return Estimate(value=None, count=len(values))
    stderr = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(value=fmean(values), stderr=stderr, count=len(values))
