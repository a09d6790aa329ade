"""What the log-likelihoods of an item's choices say, from right or wrong to by how much. Near chance the continuous ones separate data first
(arXiv 2504.11393)."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np

from tasks.benchmarks.estimate import Estimate

ANSWER_BITS_PER_BYTE = "answer_bits_per_byte"  # of the right answer behind its prompt
ANSWER_LOG_LIKELIHOOD = "answer_log_likelihood"  # of an answer without choices, whole: nats
CORRECT_CHOICE_LOG_LIKELIHOOD = "correct_choice_log_likelihood"  # nats per byte
CORRECT_CHOICE_PROBABILITY = "correct_choice_probability"  # among the choices
MARGIN = "margin"  # nats per byte from the likeliest wrong choice to the right one; negative when the item is got wrong
MUTUAL_INFORMATION_PROBABILITY = "mutual_information_probability"  # softmax of log P(choice | prompt) - log P(choice): arXiv 2104.08315
ACCURACY = "accuracy"  # without choices: every token of the answer is the likeliest
NORMALIZED_ACCURACY = "normalized_accuracy"  # by likelihood per character: lm-eval's acc_norm
MUTUAL_INFORMATION_ACCURACY = "mutual_information_accuracy"
BY_USE = (  # for decisions, the most useful first
    ANSWER_BITS_PER_BYTE,
    CORRECT_CHOICE_LOG_LIKELIHOOD,
    ANSWER_LOG_LIKELIHOOD,
    CORRECT_CHOICE_PROBABILITY,
    MARGIN,
    MUTUAL_INFORMATION_PROBABILITY,
    ACCURACY,
    NORMALIZED_ACCURACY,
    MUTUAL_INFORMATION_ACCURACY,
)


def choice_metrics(
    nats: Sequence[float],
    unconditional_nats: Sequence[float] | None,
    num_bytes: Sequence[int],
    right: int,
    num_characters: Sequence[int] | None = None,
) -> dict[str, float]:
    """Metrics of one item.

    Args:
        nats: log-likelihood of each choice behind its prompt.
        unconditional_nats: the same without the prompt, when the task asks for mutual information.
        num_bytes: UTF-8 bytes that each of `nats` is over.
        right: index of the right choice.
        num_characters: of each choice, without what stands between it and the prompt; None where one text stands behind several prompts.

    Returns:
        By name; all of them NaN when a likelihood is not finite.
    """
    logits = np.array(nats)
    per_byte = logits / np.array(num_bytes)
    metrics = {
        ANSWER_BITS_PER_BYTE: bits(per_byte[right]),
        CORRECT_CHOICE_LOG_LIKELIHOOD: float(per_byte[right]),
        CORRECT_CHOICE_PROBABILITY: probability(logits, right),
        MARGIN: float(per_byte[right] - np.delete(per_byte, right).max()),
        ACCURACY: float(logits.argmax() == right),
    }
    if num_characters is not None:
        metrics[NORMALIZED_ACCURACY] = float((logits / np.array(num_characters)).argmax() == right)
    if unconditional_nats is not None:
        information = logits - np.array(unconditional_nats)
        metrics[MUTUAL_INFORMATION_ACCURACY] = float(information.argmax() == right)
        metrics[MUTUAL_INFORMATION_PROBABILITY] = probability(information, right)
    finite = np.isfinite(logits).all() and (unconditional_nats is None or np.isfinite(unconditional_nats).all())
    return metrics if finite else dict.fromkeys(metrics, math.nan)


def answer_metrics(nats: float, likeliest: bool, num_bytes: int) -> dict[str, float]:
    """Metrics of one item without choices, from its answer's log-likelihood and whether each of its tokens is the likeliest."""
    metrics = {ANSWER_BITS_PER_BYTE: bits(nats / num_bytes), ANSWER_LOG_LIKELIHOOD: nats, ACCURACY: float(likeliest)}
    return metrics if math.isfinite(nats) else dict.fromkeys(metrics, math.nan)


def bits(log_likelihood: float) -> float:
    """Bits that an answer costs, from its log-likelihood in nats."""
    return float(-log_likelihood / math.log(2))


def probability(logits: np.ndarray, right: int) -> float:
    """Softmax at `right`."""
    weights = np.exp(logits - logits.max())
    return float(weights[right] / weights.sum())


def averages(items: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Means over items with their standard errors (arXiv 2411.00640, equation 1), of the metrics that all have. A metric that failed on any item is
    missing, not zero."""
    shared = [metric for metric in items[0] if all(metric in item for item in items)]
    return {metric: average([item[metric] for item in items]) for metric in shared}


def average(values: Sequence[float]) -> Estimate:
    if not all(map(math.isfinite, values)):
        return Estimate(value=None, count=len(values))
    stderr = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(value=fmean(values), stderr=stderr, count=len(values))
