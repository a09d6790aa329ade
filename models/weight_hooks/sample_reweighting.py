"""Loss-based sample reweighting (arXiv 2502.06733, section 3): sequences of a batch count more or less in its loss, as their own losses say.

Shapes: B sequences of a whole batch, all ranks together.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from models.frozen import Frozen

Array = np.ndarray[Any, np.dtype[Any]]

# Of a loss' place between the batch's least, -1, and its greatest, 1.
STRATEGIES = {
    "linupper": lambda place_B: np.minimum(place_B + 1, 1),  # less of what is known already, all else alike
    "quadratic": lambda place_B: 1 - place_B**2,  # less of both ends
    "extremes": np.abs,  # more of both ends
}


class SampleReweighting(Frozen):
    """Changes the loss and not the stream. Losses are taken before the step, by a forward pass over the batch: a step costs a third more."""

    hook: Literal["sample-reweighting"] = "sample-reweighting"
    strategy: Literal["linupper", "quadratic", "extremes"] = Field(default="linupper", description="which losses count more")
    temperature: PositiveFloat = Field(default=1.0, description="the paper's r: the higher, the more even the weights")
    burn_in_share: float = Field(default=0.05, ge=0, lt=1, description="of the steps, at the beginning, in which all sequences count alike")

    def begins_at(self, steps: int) -> int:
        """The first step with weights, of so many."""
        return round(self.burn_in_share * steps)

    def weights(self, losses_B: Array) -> Array:
        """What each sequence counts (B), one on average. Over the whole batch, so that ranks and micro-batches change nothing."""
        low, high = losses_B.min(), losses_B.max()
        if low == high:
            return np.ones_like(losses_B)
        place_B = (2 * losses_B - low - high) / (high - low)
        raised_B = np.exp(STRATEGIES[self.strategy](place_B) / self.temperature)
        return raised_B / raised_B.mean()
