"""What `results/fit/laws.json` holds: the fitted law of every mixture, the noise between seeds, and curves to draw."""

from models.frozen import Frozen
from models.verdict import Interval


class CurvePoint(Frozen):
    """A mixture's predicted loss (expectation over seeds) at one scale, on a line of constant tokens per parameter."""

    tokens_per_parameter: float
    at_target_ratio: bool
    num_params: float
    tokens: float
    train_flops: float  # 6 N D
    loss: float
    low: float
    high: float


class Objective(Frozen):
    name: str
    value: float


class MixtureLaw(Frozen):
    law: str
    coefficients: dict[str, Interval]
    objective: Objective  # of the joint fit: the same for all mixtures
    warnings: tuple[str, ...]
    curve: tuple[CurvePoint, ...]  # by ratio, then size; from the smallest run to the target


class NoiseFloor(Frozen):
    """Noise between seeds: runs that differ in nothing but their seed. None where there are no two such runs."""

    standard_deviation: float | None  # of the loss of one run, pooled over cells, in the loss' unit
    degrees_of_freedom: int
    common_share: float  # of its variance: the same seed moves all mixtures alike, and does not disturb their comparison
    law_misfit: float  # standard deviation of the law's error per cell, relative to the loss
    signal_to_noise: float | None  # spread of the mixtures at the largest scale that all have, over noise of their seeds' mean


class Laws(Frozen):
    loss: str  # in words
    equation: str
    source: str
    num_params: str  # which parameters N counts, in words
    train_flops: str  # how the curves count compute, in words
    noise: NoiseFloor | None  # None when no mixture could be fitted
    mixtures: dict[str, MixtureLaw]  # fitted ones
