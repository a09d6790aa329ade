"""What `assay fit` can fit: a law on the fitting core, or a procedure of several steps, with one interface.

Shapes: n rows, b draws of the bootstrap.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.laws.law import Array

CLUSTER, WEIGHT = "cluster", "weight"  # columns that any table may have besides inputs and response: see `Estimator.estimate`
POSITIVE = ("N", "D", "C", "M", "U", "loss", "lr", "batch")


@dataclass(frozen=True)
class Options:
    """What a person can ask of any fit."""

    fixed: Mapping[str, float] = field(default_factory=dict)  # coefficients that are given, not fitted
    starts: Mapping[str, float] = field(default_factory=dict)  # where the search for a coefficient begins, besides the law's own starts
    bootstrap: int = 1000  # draws
    seed: int = 0
    confidence: float = 0.9


@dataclass(frozen=True)
class Prediction:
    """Of one response at one point."""

    response: str
    value: float
    draws: Array  # (b); empty without a bootstrap


@dataclass(frozen=True, kw_only=True)
class Estimate(ABC):
    """A fitted law."""

    coefficients: Mapping[str, float]
    draws: Mapping[str, Array]  # (b) by coefficient
    objective_name: str
    objective: float
    metrics: Mapping[str, float]  # on the rows it was fitted to (`models/laws/metrics.py`); mean_relative_error where there is a loss
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was done, where a law chooses

    @abstractmethod
    def predict(self, inputs: Mapping[str, Array]) -> Array:
        """The response (n) at n points."""

    @abstractmethod
    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """All responses at one point, with their draws."""

    def prediction(self, response: str, inputs: Mapping[str, float]) -> Prediction:
        """Of the response that `predict` and `draws_at` speak of, at one point."""
        point = {name: np.array([value]) for name, value in inputs.items()}
        return Prediction(response, float(self.predict(point)[0]), self.draws_at(point)[:, 0])

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        """(b, n) draws of the response at n points."""
        points = [dict(zip(inputs, map(float, row), strict=True)) for row in zip(*inputs.values(), strict=True)]
        return np.stack([self.predictions(point)[0].draws for point in points], axis=1)


class Estimator(ABC):
    """Fits rows. Its docstring says: equation, source, bounds, initialisation, identifiability."""

    name: str
    inputs: tuple[str, ...]  # the columns of a row, besides the response
    response: str
    coefficients: tuple[str, ...]  # names that `fixed` and `starts` may hold
    positive: tuple[str, ...] = POSITIVE  # columns whose rows are dropped, and counted, where they are not positive
    optional_at_point: tuple[str, ...] = ()  # inputs that `--predict` may leave out
    further_at_point: tuple[str, ...] = ()  # names that `--predict` may give besides the inputs

    @property
    def documentation(self) -> str:
        return inspect.getdoc(self) or ""

    def unusable(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows (n, boolean) that this law can't use, by reason; they are dropped and counted."""
        del columns
        return {}

    @abstractmethod
    def estimate(self, columns: Mapping[str, Array], options: Options) -> Estimate:
        """Fits rows whose columns (n) are finite: the inputs, the response, and where a person named them `cluster` (rows with the same one are
        drawn together by the bootstrap) and `weight` (how much a row counts; 1 / variance of its noise).

        Raises:
            StudyError: when these rows can't be fitted: too few, all alike, a coefficient out of its bounds.
        """
