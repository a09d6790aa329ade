"""What a law is: named parameters with bounds and priors, a positive prediction, and where to start looking for them.

Shapes: n rows, p parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import expit, logit

Array = np.ndarray[Any, np.dtype[Any]]
COMPLEX_STEP = 1e-30


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law, fitted in an unbounded coordinate u: the value itself, its logarithm, or its place between `low` and `high`."""

    name: str
    transform: Literal["identity", "log", "logistic"] = "identity"
    low: float = -np.inf  # bounds are open; only `logistic` reads them
    high: float = np.inf
    prior: tuple[float, float] | None = None  # mean and standard deviation of u; None: the data alone decide

    def at_bound(self, value: float) -> float | None:
        """The bound of a `logistic` parameter that `value` practically reaches."""
        if self.transform == "logistic":
            place = (value - self.low) / (self.high - self.low)
            if min(place, 1 - place) < 1e-3:
                return self.low if place < 0.5 else self.high
        return None


class Law(ABC):
    """A positive function of named inputs. Subclasses say in their docstring: equation, source, bounds, starts, identifiability.

    Inputs have the field's symbols: N parameters, D tokens seen, C = 6 N D training FLOPs, M = D / N tokens per parameter, U unique tokens, loss;
    a weight by domain has the name of its column.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    response: str = "loss"  # what is predicted
    residual: Literal["log", "absolute"] = "log"  # log f - log y, or f - y

    @abstractmethod
    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        """log f (n) at parameter values (p), which may be complex."""

    @abstractmethod
    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        """Parameter values (starts, p) to begin at. They scale with the data's units, so that a fit does not depend on these."""

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """log f (n) and its derivatives (n, p), exact to rounding, by complex step; laws that are fitted often give them in closed form."""
        steps = values + 1j * COMPLEX_STEP * np.eye(len(values))
        columns = [np.imag(self.log_prediction(step, inputs)) / COMPLEX_STEP for step in steps]
        return self.log_prediction(values, inputs), np.stack(columns, axis=1)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)


@dataclass(frozen=True)
class Coordinates:
    """Between parameter values (..., p) and unbounded coordinates u (..., p)."""

    is_log: Array
    is_logistic: Array
    low: Array
    span: Array

    @classmethod
    def of(cls, law: Law) -> "Coordinates":
        logistic = np.array([parameter.transform == "logistic" for parameter in law.parameters])
        low = np.array([parameter.low if parameter.transform == "logistic" else 0.0 for parameter in law.parameters])
        high = np.array([parameter.high if parameter.transform == "logistic" else 1.0 for parameter in law.parameters])
        return cls(np.array([parameter.transform == "log" for parameter in law.parameters]), logistic, low, high - low)

    def values(self, u: Array) -> Array:
        bounded = self.low + self.span * expit(u)
        return np.where(self.is_log, np.exp(np.where(self.is_log, u, 0.0)), np.where(self.is_logistic, bounded, u))

    def slopes(self, u: Array, values: Array) -> Array:
        """d value / d u (p)."""
        place = expit(u)
        return np.where(self.is_log, values, np.where(self.is_logistic, self.span * place * (1 - place), 1.0))

    def is_at_bound(self, values: Array) -> Array:
        """(..., p) where rounding has put a value on a bound, where no u is finite."""
        return ~np.isfinite(self.unbounded(values))

    def unbounded(self, values: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.where(self.is_log, np.log(values), np.where(self.is_logistic, logit((values - self.low) / self.span), values))
