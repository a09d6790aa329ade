"""What a mixture law is: the losses of a model as a function of the weights of the mixture it was trained on, at one scale.

Shapes: n runs, d domains, t losses, m mixtures to predict, b draws.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from models.laws.law import Array


@dataclass(frozen=True)
class MixtureRuns:
    """Runs of one size and budget that differ in their mixture."""

    domains: tuple[str, ...]
    loss_names: tuple[str, ...]
    weights_nd: Array  # rows sum to one
    losses_nt: Array


class FittedMixtureLaw(ABC):
    """Predicts the target: the losses weighted by `target_t`."""

    candidates: Mapping[str, Mapping[str, float | None]]  # evidence by law, of a law that chooses; empty for the others
    sentence: str  # which law speaks, and why
    warnings: tuple[str, ...]  # what the runs don't tell, in words

    @abstractmethod
    def predict(self, weights_md: Array) -> Array:
        """The target loss (m)."""

    @abstractmethod
    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        """(b, m) draws of the target loss, jointly over mixtures: what the runs leave open, without the noise of one further run."""


class MixtureLaw(ABC):
    """Subclasses say in their docstring: equation, source, bounds, initialisation, identifiability."""

    name: str

    @abstractmethod
    def fit(self, runs: MixtureRuns, target_t: Array) -> FittedMixtureLaw:
        """Fits the losses that `target_t` (t; weights, most of them may be 0) asks for. Deterministic. May use the other losses as evidence."""
