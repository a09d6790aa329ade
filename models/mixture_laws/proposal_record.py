"""What a proposal says. Values are of the target, at the size and budget of the runs.

Intervals are of the expected value, to which a run adds its noise.
"""

from typing import Literal

import numpy as np

from models.frozen import Frozen
from models.laws.law import Array
from models.mixture_laws.support import Support
from models.verdict import Interval


class NextRun(Frozen):
    weights: dict[str, float]
    reason: Literal["proposal", "improvement", "information", "change"]
    predicted: Interval | None  # None where no run tells: of a domain that no run has drawn from
    batch_improvement: float | None  # expected gain over the proposal, of the batch up to and with this run
    flops: float | None = None
    total_flops: float | None = None  # of the batch up to and with this run


class Reference(Frozen):
    """What the proposal is compared with."""

    name: str
    weights: dict[str, float]
    value: float
    low: float
    high: float
    epochs: dict[str, float | None] | None
    kl: float | None  # of the proposal from it, in nats; None when infinite


class Proposal(Frozen):
    weights: dict[str, float]
    predicted: Interval
    reference: Reference
    probability_better: float  # that the proposal is better than the reference
    epochs: dict[str, float | None] | None  # at the target budget, by domain
    support: Support
    next: tuple[NextRun, ...]
    warnings: tuple[str, ...]


def interval(value: float, draws_b: Array, confidence: float) -> Interval:
    """The value predicted, and the quantiles of its draws, widened where they leave it out: draws of averaged laws are off their mean at corners."""
    low, high = np.quantile(draws_b, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value=float(value), low=float(min(low, value)), high=float(max(high, value)))
