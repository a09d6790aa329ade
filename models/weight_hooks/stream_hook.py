"""What the hooks have in common that set a stream's weights anew while a run trains.

A run is cut into stretches whose ends are known before it begins. Before each, losses are measured on validation sequences, and the hook says by
which weights the stretch is drawn: a function of what was measured and set so far, so that this is all that a checkpoint must hold.

Shapes: d domains, u measurements so far.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from models.frozen import Frozen

Array = np.ndarray[Any, np.dtype[Any]]
WEIGHT_DECIMALS = 4  # losses differ in their last bits from hardware to hardware; a tenth of a sequence in 1,000 does not


class StreamHook(Frozen):
    """Sets the stream's weights before every stretch of a run. The mixture's own weights are those that it starts from."""

    needs_reference: ClassVar[bool] = False  # what is measured is the loss; with a reference, how far it is above the reference's

    intervals: PositiveInt = Field(default=20, description="of equal tokens, into which a run is cut; weights are set anew before each")
    validation_sequences: PositiveInt = Field(
        default=32, description="of each domain, its last ones: each measurement reads them all, and they are not trained on"
    )

    def starts(self, steps: int, domains: Sequence[str]) -> tuple[int, ...]:
        """The steps, ascending from 0, before which losses are measured and weights are set.

        Raises:
            ValueError: when there are more than steps, or `domains` are not those that the hook needs.
        """
        if len(domains) < 2:
            raise ValueError(f"a hook shifts weight between domains, and the mixture draws from '{domains[0]}' alone: leave out its hook")
        if self.intervals > steps:
            raise ValueError(f"the hook's {self.intervals} intervals are more than the run's {steps} steps: lower hook.intervals")
        return tuple(steps * interval // self.intervals for interval in range(self.intervals))

    @abstractmethod
    def weights(self, start_d: Array, losses_ud: Array, weights_ud: Array, domains: Sequence[str]) -> Array:
        """The weights (d) of the stretch that follows the last measurement, summing to one.

        start_d: the mixture's own.
        losses_ud: as measured before this stretch and each earlier one.
        weights_ud: of the earlier stretches, one fewer than measurements.
        """

    def answer(self, weights_ud: Array) -> Array:
        """The weights (d) to train another model with: the mean of those that the hook set, without the first, which it was given."""
        return weights_ud[1:].mean(axis=0) if len(weights_ud) > 1 else weights_ud[0]


def exponentiated(weights_d: Array, exponents_d: Array) -> Array:
    """`weights_d * exp(exponents_d)`, summing to one."""
    raised_d = weights_d * np.exp(exponents_d - exponents_d.max())
    return raised_d / raised_d.sum()


def within(weights_d: Array, most_d: Array) -> Array:
    """The weights with none above `most_d`, which sum to one or more: what that takes from some goes to the others, in proportion to their own."""
    smallest = np.finfo(float).eps  # those of no weight share evenly what nobody else can take
    capped_d, most_d, weights_d = np.zeros(len(weights_d), dtype=bool), most_d + smallest, weights_d + smallest
    while (over_d := ~capped_d & (weights_d > most_d)).any():
        capped_d |= over_d
        left = 1 - most_d[capped_d].sum()
        weights_d = np.where(capped_d, most_d, weights_d * left / max(weights_d[~capped_d].sum(), smallest))
    return weights_d / weights_d.sum()


def rounded(weights_d: Array) -> Array:
    """To `WEIGHT_DECIMALS`, and summing to one again."""
    rounded_d = weights_d.round(WEIGHT_DECIMALS)
    return rounded_d / rounded_d.sum()
