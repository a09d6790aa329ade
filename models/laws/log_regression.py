"""y = prefactor x_1^e_1 x_2^e_2 ...: a straight line in logarithms, by least squares.

Shapes: n points, k inputs, p = 1 + k parameters (the logarithm of the prefactor, the exponents), b draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array

MOST_PRIOR_DEGREES = 4.0  # how many points' worth of scatter it counts that the points' own errors are as said; the scatter may be larger than these


@dataclass(frozen=True)
class Points:
    """What a line goes through. Without `variance`, all count as `weights` say (the same when absent) and scatter alone tells the errors."""

    x: Array  # (n, k)
    y: Array
    weights: Array | None = None
    variance: Array | None = None  # (n) of log y, as far as it is known
    degrees: float = 0.0  # of freedom by which it is known


@dataclass(frozen=True)
class LogLine:
    names: tuple[str, ...]  # of the prefactor, then of the exponents
    values: Array  # (p), the first as a logarithm
    values_b: Array  # (b, p)
    squares: float  # sum of squared residuals of log y

    @property
    def coefficients(self) -> dict[str, float]:
        return dict(zip(self.names, map(float, (np.exp(self.values[0]), *self.values[1:])), strict=True))

    @property
    def draws(self) -> dict[str, Array]:
        return dict(zip(self.names, (np.exp(self.values_b[:, 0]), *self.values_b[:, 1:].T), strict=True))

    def at(self, *x: Array) -> Array:
        """y (n)."""
        return np.exp(self.values @ _terms(np.stack(x, axis=1)).T)

    def draws_at(self, *x: Array) -> Array:
        """(b, n)."""
        return np.exp(self.values_b @ _terms(np.stack(x, axis=1)).T)


def log_line(names: Sequence[str], inputs: Sequence[str], points: Points, given: Mapping[str, float], draws: int, seed: int, what: str) -> LogLine:
    """The line through `points`, some parameters of which may be given (the prefactor itself, not its logarithm).

    Draws are those of the posterior of a normal linear model: Student's t, as wide as few points make it, which drawing few points again is not.
    Where the points' errors are known, they and a common scatter beyond them (method of moments, DerSimonian and Laird 1986) weigh the points.

    what: the points, in words, for the message when they are too few.

    Raises:
        StudyError: when the points don't decide the parameters, or a given prefactor is not positive.
    """
    if given.get(names[0], 1.0) <= 0:
        raise StudyError(f"{names[0]} = {given[names[0]]:g} is outside of its bounds: it must be positive.")
    fixed = np.array([np.nan if name not in given else np.log(given[name]) if name == names[0] else given[name] for name in names])
    free = np.isnan(fixed)
    terms, log_y = _terms(points.x), np.log(points.y)
    rest = log_y - terms[:, ~free] @ fixed[~free]
    if not free.any():
        return LogLine(tuple(names), fixed, np.tile(fixed, (draws, 1)), float(rest @ rest))
    _check(names, inputs, points.x, free, what)
    middle = terms[:, 1:].mean(axis=0) * free[0]  # so that prefactor and exponents are no near-copies of each other
    design = np.column_stack([terms[:, :1], terms[:, 1:] - middle])[:, free]
    weights = np.ones(len(rest)) if points.weights is None else points.weights / points.weights.mean()
    if points.variance is not None:
        weights = _weights_from_errors(design, rest, points.variance)
    best, residual = _weighted(design, rest, weights)
    spread = _draws(design, weights, residual, points, draws, seed)
    values, values_b = fixed.copy(), np.tile(fixed, (draws, 1))
    values[free], values_b[:, free] = best, best + spread
    if free[0]:
        moved = middle * free[1:]
        values[0] -= np.where(free[1:], values[1:], 0.0) @ moved
        values_b[:, 0] -= np.where(free[1:], values_b[:, 1:], 0.0) @ moved
    left = log_y - terms @ values
    return LogLine(tuple(names), values, values_b, float(left @ left))


def _terms(x: Array) -> Array:
    return np.column_stack([np.ones(len(x)), np.log(x)])


def _check(names: Sequence[str], inputs: Sequence[str], x: Array, free: Array, what: str) -> None:
    rows, wanted = len(x), [name for name, is_free in zip(names, free, strict=True) if is_free]
    if rows <= len(wanted):
        raise StudyError(f"{', '.join(wanted)} need at least {len(wanted) + 1} {what}, and there {'is' if rows == 1 else 'are'} {rows}: add runs.")
    for k, name in enumerate(inputs):
        if free[0] and free[1 + k] and np.ptp(np.log(x[:, k])) < 1e-9:
            raise StudyError(
                f"All {rows} {what} have the same {name} ({x[0, k]:g}), which leaves {names[1 + k]} open: "
                f"add runs at another {name}, or give it, as with --fix {names[1 + k]}=VALUE."
            )
    terms = _terms(x)
    terms[:, 1:] -= terms[:, 1:].mean(axis=0) * free[0]
    if np.linalg.matrix_rank(terms[:, free], tol=1e-6) < len(wanted):
        raise StudyError(
            f"In all {rows} {what} {' and '.join(inputs)} go together, so that {', '.join(wanted)} can't be told apart: "
            f"add runs, or give one, as with --fix {wanted[-1]}=VALUE."
        )


def _weighted(design: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """The least-squares parameters, and the residuals."""
    root = np.sqrt(weights)
    best = np.linalg.lstsq(design * root[:, None], y * root)[0]
    return best, y - design @ best


def _weights_from_errors(design: Array, y: Array, variance: Array) -> Array:
    """(n) 1 / (variance + tau^2); tau^2, the scatter beyond the errors, is where the weighted squares are as many as their degrees of freedom."""
    degrees = len(y) - design.shape[1]

    def excess(tau2: float) -> float:
        weights = 1 / (variance + tau2)
        return float(weights @ _weighted(design, y, weights)[1] ** 2) - degrees

    low, high = 0.0, float(np.sum(_weighted(design, y, np.ones(len(y)))[1] ** 2)) / max(degrees, 1)
    if not (variance > 0).all():
        return np.ones(len(y))
    if high == 0 or excess(low) <= 0:
        return 1 / variance
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return 1 / (variance + high)


def _draws(design: Array, weights: Array, residual: Array, points: Points, draws: int, seed: int) -> Array:
    """(b, p) deviations of the parameters; NaN where nothing tells the scatter."""
    degrees, squares = float(len(residual) - design.shape[1]), float(weights @ residual**2)
    if points.variance is not None and points.degrees > 0 and (points.variance > 0).all():
        prior = min(points.degrees, MOST_PRIOR_DEGREES)
        degrees, squares = degrees + prior, squares + prior  # of a scatter that is 1 in units of the weights
    if degrees <= 0:
        return np.full((draws, design.shape[1]), np.nan)
    random = np.random.default_rng(seed)
    scale = np.sqrt(squares / random.chisquare(degrees, (draws, 1)))
    root = np.linalg.cholesky(np.linalg.inv((design.T * weights) @ design))
    return scale * random.standard_normal((draws, design.shape[1])) @ root.T
