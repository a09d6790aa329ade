"""What the mixture laws share: each is fitted loss by loss, in standardised units, and knows its own error from cross-validation.

Shapes: n runs, d domains, t losses, m mixtures to predict, b draws.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from models.laws.law import Array
from models.mixture_laws.asked import Asked
from models.mixture_laws.error_of_prediction import ErrorOfPrediction
from models.mixture_laws.folds import interleaved_folds
from models.mixture_laws.law import FittedMixtureLaw, MixtureLaw, MixtureRuns


class Surface(ABC):
    """One loss as a function of the weights."""

    @abstractmethod
    def predict(self, weights_md: Array) -> Array:
        """The loss (m)."""

    @abstractmethod
    def refitted(self, weights_nd: Array, loss_n: Array) -> "Surface":
        """The same law on other runs of the same study, beginning where this one ended: what cross-validation asks for."""


@dataclass(frozen=True)
class Constant(Surface):
    """Of a loss that is the same in all runs."""

    value: float

    def predict(self, weights_md: Array) -> Array:
        return np.full(len(weights_md), self.value)

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return Constant(float(loss_n.mean()))


@dataclass(frozen=True)
class Standardised(Surface):
    """A surface that was fitted to (loss - centre) / scale, so that laws do not depend on the loss' unit.

    No law is believed farther beyond the losses it has seen than these are apart: an exponential or a straight line may go anywhere from there.
    """

    surface: Surface
    centre: float
    scale: float
    low: float
    high: float

    @classmethod
    def of(cls, fit: Callable[[Array, Array], Surface], weights_nd: Array, loss_n: Array) -> Surface:
        centre, scale = float(loss_n.mean()), float(loss_n.std())
        if scale <= 1e-12 * abs(centre):
            return Constant(centre)
        low, high = float(loss_n.min()), float(loss_n.max())
        return cls(fit(weights_nd, (loss_n - centre) / scale), centre, scale, 2 * low - high, 2 * high - low)

    def predict(self, weights_md: Array) -> Array:
        return np.clip(self.centre + self.scale * self.surface.predict(weights_md), self.low, self.high)

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return replace(self, surface=self.surface.refitted(weights_nd, (loss_n - self.centre) / self.scale))


class SurfaceLaw(MixtureLaw):
    """A mixture law that is fitted loss by loss."""

    @abstractmethod
    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        """Fits one loss, standardised to mean 0 and standard deviation 1. Deterministic."""

    def fit(self, runs: MixtureRuns, target_t: Array) -> FittedMixtureLaw:
        asked = Asked.of(runs, target_t)
        fitted = FittedSurfaces(asked, tuple(self.surfaces(asked.runs)))
        fitted.sentence = f"The law '{self.name}' was asked for."
        return fitted

    def surfaces(self, runs: MixtureRuns) -> list[Surface]:
        """One for each loss (t)."""
        return [Standardised.of(self.surface, runs.weights_nd, loss_n) for loss_n in runs.losses_nt.T]


class FittedSurfaces(FittedMixtureLaw):
    """Target loss = sum_t target_t surface_t."""

    def __init__(self, asked: Asked, surfaces: tuple[Surface, ...]) -> None:
        self.asked, self.surfaces = asked, surfaces
        self.candidates = {}
        self.sentence = ""
        self.warnings = asked.warnings()

    def predict(self, weights_md: Array) -> Array:
        return losses_of(self.surfaces, self.asked.ordered(weights_md)) @ self.asked.target_t

    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        return self.predict(weights_md) + self.error.draws(self.asked.ordered(weights_md), count, seed)

    @cached_property
    def error(self) -> ErrorOfPrediction:
        """From cross-validation, made when first asked for."""
        folds = interleaved_folds(self.asked.runs.weights_nd)
        return self.error_from(out_of_fold(self.surfaces, self.asked.runs, folds))

    def error_from(self, predicted_nt: Array, free_parameters: int = 0) -> ErrorOfPrediction:
        """From predictions out of fold, among which so many parameters were chosen."""
        runs, target_t = self.asked.runs, self.asked.target_t
        loss_n = runs.losses_nt @ target_t
        residual_n = (loss_n - predicted_nt @ target_t) * np.sqrt(len(loss_n) / max(len(loss_n) - free_parameters, 1))
        return ErrorOfPrediction.of(runs.weights_nd, loss_n, residual_n, learned_share=1 - 1 / len(interleaved_folds(runs.weights_nd)))


def losses_of(surfaces: Sequence[Surface], weights_md: Array) -> Array:
    """(m, t)"""
    return np.stack([surface.predict(weights_md) for surface in surfaces], axis=1)


def out_of_fold(surfaces: Sequence[Surface], runs: MixtureRuns, folds: list[Array]) -> Array:
    """(n, t) predictions of each run from the runs outside its fold; NaN for runs in no fold."""
    predicted_nt = np.full(runs.losses_nt.shape, np.nan)
    for held_n in folds:
        rest, held = runs.weights_nd[~held_n], runs.weights_nd[held_n]
        refits = [surface.refitted(rest, loss_n[~held_n]) for surface, loss_n in zip(surfaces, runs.losses_nt.T, strict=True)]
        predicted_nt[held_n] = losses_of(refits, held)
    return predicted_nt
