"""Which steps of a training must not count: losses and gradients that are no numbers, and spikes; and what is done about them."""

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from models.frozen import Frozen

REMEMBERED_STEPS = 128  # as OLMo-core's SkipStepOptimizer has it, from which also is that half of them are enough


class DivergencePolicy(Frozen):
    """What becomes of a run when a step fails: when its loss or gradient norm is no finite number or, if asked, a spike."""

    then: Literal["stop", "skip", "rewind"] = Field(
        default="stop",
        description="stop: the run has diverged; skip: the step changes no weights; rewind: the weights are set back to those of `rewind_steps` "
        "before, and what was read since is passed over (PaLM, arXiv 2204.02311 section 5.1). A run of a swarm always stops",
    )
    spike_deviations: PositiveFloat | None = Field(
        default=None, description="a loss or gradient norm so many standard deviations over the mean of the last 128 steps is a spike; 6 is usual"
    )
    rewind_steps: PositiveInt = Field(default=100, description="how far back a rewind goes, at least; less than twice as far")
    max_lost_share: float = Field(default=0.05, ge=0, lt=1, description="of a run's steps that may be skipped or rewound; with more it has diverged")


class Guard:
    """Watches one run. What it says follows from the steps so far alone: the same after a resume, and on every rank."""

    def __init__(self, policy: DivergencePolicy, losses: Iterable[float] = (), norms: Iterable[float] = ()):
        self.policy = policy
        self.losses = deque(losses, REMEMBERED_STEPS)
        self.norms = deque(norms, REMEMBERED_STEPS)

    def allows(self, loss: float, norm: float) -> bool:
        """Whether a step of this loss and gradient norm may change the weights."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return False
        return not (is_spike(loss, self.losses, self.policy.spike_deviations) or is_spike(norm, self.norms, self.policy.spike_deviations))

    def remember(self, loss: float, norm: float) -> None:
        """A step that counted."""
        if self.policy.spike_deviations is not None:
            self.losses.append(loss)
            self.norms.append(norm)

    def state(self) -> dict[str, list[float]]:
        return {"losses": list(self.losses), "norms": list(self.norms)}


def is_spike(value: float, before: deque[float], deviations: float | None) -> bool:
    if deviations is None or len(before) < REMEMBERED_STEPS // 2:
        return False
    mean = math.fsum(before) / len(before)
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in before) / (len(before) - 1))
    return value > mean + deviations * deviation
