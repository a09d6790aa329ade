"""What `assay fit` can fit: a law on the fitting core, or a procedure of several steps, with one interface.

Shapes: n rows, b draws of the bootstrap.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from models.laws.law import Array


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


class Estimate(ABC):
    """A fitted law."""

    coefficients: Mapping[str, float]
    draws: Mapping[str, Array]  # (b) by coefficient
    objective_name: str
    objective: float
    metrics: Mapping[str, float]  # on the rows it was fitted to; mean_relative_error where there is a loss
    warnings: tuple[str, ...]

    @abstractmethod
    def predict(self, inputs: Mapping[str, Array]) -> Array:
        """The response (n) at n points."""

    @abstractmethod
    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """All responses at one point, with their draws."""


class Estimator(ABC):
    """Fits rows. Its docstring says: equation, source, bounds, initialisation, identifiability."""

    name: str
    inputs: tuple[str, ...]  # the columns of a row, besides the response
    response: str
    coefficients: tuple[str, ...]  # names that `fixed` and `starts` may hold

    @abstractmethod
    def estimate(self, columns: Mapping[str, Array], options: Options) -> Estimate:
        """Fits rows whose columns (n) are finite.

        Raises:
            StudyError: when these rows can't be fitted: too few, all alike, a coefficient out of its bounds.
        """
