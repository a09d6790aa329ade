"""DoReMi (arXiv 2305.10429, algorithm 1): weights that are robust, by how far each domain's loss is above what a reference model reaches on it.

Two things differ from the paper. The stream is drawn by the weights instead of the loss being multiplied with them: the same gradient in expectation.
And they are set before each interval, by the excess on validation sequences, instead of after each step by the excess in its batch.

Shapes: d domains, u measurements so far.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from models.weight_hooks.stream_hook import Array, StreamHook, exponentiated


class DoReMi(StreamHook):
    """Group DRO on excess losses. The reference is the same run without the hook, with the mixture's weights all the way; it is trained first."""

    needs_reference: ClassVar[bool] = True

    hook: Literal["doremi"] = "doremi"
    step_size: PositiveFloat = Field(default=1.0, description="factor of the excess loss (nats per token) in the exponent of an update")
    smoothing: float = Field(default=1e-3, ge=0, lt=1, description="share of the uniform weights that is mixed in after each update")

    def weights(self, start_d: Array, losses_ud: Array, weights_ud: Array, domains: Sequence[str]) -> Array:
        """`losses_ud` are excess losses: means over tokens of max(0, loss - reference's loss)."""
        if not len(weights_ud):
            return start_d
        updated_d = exponentiated(weights_ud[-1], self.step_size * losses_ud[-1])
        return (1 - self.smoothing) * updated_d + self.smoothing / len(domains)
