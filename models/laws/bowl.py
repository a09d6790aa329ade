"""The place of the lowest loss among runs that differ in a few settings, such as size, or learning rate and batch: a quadratic bowl near it.

Losses far above the minimum do not follow a quadratic: they would move it. Runs count less the higher the bowl is at their place, down to nothing at
the rim of a window; the bowl is fitted again until its minimum stays.

Shapes: n runs, d settings, c = (d + 1)(d + 2) / 2 coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from models.laws.law import Array

ROUNDS = 12  # of refits; the minimum of smooth data moves no more after four or five
LEAST_NEAR = 0.3  # weight of the 3^d runs that are nearest to the minimum, however high they lie: a bowl needs some on each side
FLAT = 1.0  # standard deviation of a coordinate of the minimum (a logarithm: known within a factor e) beyond which a wider window is tried


@dataclass(frozen=True)
class Bowl:
    """log loss = floor + 1/2 (z - place)' curvature (z - place) near its minimum."""

    place: Array  # (d)
    floor: float  # log of the lowest loss
    curvature: Array  # (d, d)
    covariance: Array  # (d, d) of the place, for runs whose log-loss has a variance of 1
    counted: Array  # (n, boolean) runs inside the window
    squares: float  # weighted sum of squared residuals
    degrees: float  # of freedom that are in them; 0 where the runs are as few as the coefficients


def bowl(z: Array, log_loss: Array, windows: Sequence[float], weights: Array | None = None) -> Bowl | str:
    """The bowl in the narrowest window that decides where its minimum is; or, in words, why there is none.

    z: (n, d) settings, in logarithms.
    windows: heights above the minimum, in log loss, at which runs stop counting; ascending.
    weights: (n) how much each run counts besides.
    """
    num_settings = z.shape[1]
    if any(len(np.unique(column)) < 3 for column in z.T) or len(z) < (num_settings + 1) * (num_settings + 2) // 2:
        return "too few runs to tell the minimum"
    found: Bowl | str = ""
    for window in windows:
        found = _in_window(z, log_loss, window, np.ones(len(z)) if weights is None else weights / weights.mean())
        if isinstance(found, Bowl):
            noise = found.squares / found.degrees if found.degrees else 0.0
            if (noise * np.diag(found.covariance) < FLAT**2).all():
                return found
            found = "the minimum is too flat to be told from noise"
    return found


def pooled_noise(bowls: Sequence[Bowl]) -> tuple[float, float]:
    """Variance of log losses around their bowls, and its degrees of freedom; (0, 0) where the runs are as few as the coefficients."""
    degrees = sum(one.degrees for one in bowls)
    return (sum(one.squares for one in bowls) / degrees, degrees) if degrees else (0.0, 0.0)


def _in_window(z: Array, log_loss: Array, window: float, weights: Array) -> Bowl | str:
    lowest = z[log_loss.argmin()]
    scale = z.std(axis=0)
    x = (z - lowest) / scale
    terms = _terms(x)
    height, place = log_loss - log_loss.min(), np.zeros(x.shape[1])
    for remaining in reversed(range(ROUNDS)):
        counts = np.clip(1 - (height / window) ** 2, 0, 1)
        near = np.argsort(((x - place) ** 2).sum(axis=1), kind="stable")[: 3 ** x.shape[1]]
        counts[near] = np.maximum(counts[near], LEAST_NEAR)
        root = np.sqrt(counts * weights)
        coefficients = np.linalg.lstsq(terms * root[:, None], log_loss * root)[0]
        slope, curvature = _slope_and_curvature(coefficients, x.shape[1])
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return "the loss does not curve upwards around the minimum"
        place = -np.linalg.solve(curvature, slope)
        if not ((place > x.min(axis=0)) & (place < x.max(axis=0))).all():
            return "the minimum is not bracketed by the runs"
        if not remaining:
            residual = log_loss - terms @ coefficients
            of_coefficients, degrees = _errors(terms, counts, weights)
            moves = _moves(place, curvature)
            return Bowl(
                place=lowest + place * scale,
                floor=float(coefficients[0] + 0.5 * slope @ place),
                curvature=curvature / np.outer(scale, scale),
                covariance=moves @ of_coefficients @ moves.T * np.outer(scale, scale),
                counted=np.asarray(counts > 0),
                squares=float((counts * weights) @ residual**2),
                degrees=degrees,
            )
        height = 0.5 * np.einsum("ni,ij,nj->n", x - place, curvature, x - place)
    raise AssertionError


def _errors(terms: Array, counts: Array, weights: Array) -> tuple[Array, float]:
    """Covariance (c, c) of the coefficients where a log-loss has a variance of 1 / weight; and the degrees of freedom that are left."""
    used = counts * weights
    inverse = np.linalg.pinv((terms * used[:, None]).T @ terms)
    leverage = np.einsum("nc,ck,nk->n", terms, inverse, terms) * used
    covariance = inverse @ ((terms * (counts * used)[:, None]).T @ terms) @ inverse
    return covariance, float(max(round(counts @ (1 - leverage), 6), 0.0))


def _pairs(num_settings: int) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(range(num_settings), 2))


def _terms(x: Array) -> Array:
    """(n, c): 1, x_i, and x_i x_j (halved where i = j)."""
    products = [x[:, i] * x[:, j] / (2 if i == j else 1) for i, j in _pairs(x.shape[1])]
    return np.column_stack([np.ones(len(x)), x, *products])


def _slope_and_curvature(coefficients: Array, num_settings: int) -> tuple[Array, Array]:
    """(d) and (d, d) at x = 0."""
    curvature = np.zeros((num_settings, num_settings))
    for (i, j), value in zip(_pairs(num_settings), coefficients[1 + num_settings :], strict=True):
        curvature[i, j] = curvature[j, i] = value
    return coefficients[1 : 1 + num_settings], curvature


def _moves(place: Array, curvature: Array) -> Array:
    """(d, c): how the minimum moves with the coefficients."""
    num_settings = len(place)
    pulls = np.zeros((num_settings, 1 + num_settings + len(_pairs(num_settings))))  # d (slope + curvature place) / d coefficients
    pulls[:, 1 : 1 + num_settings] = np.eye(num_settings)
    for k, (i, j) in enumerate(_pairs(num_settings), start=1 + num_settings):
        pulls[i, k] += place[j]
        if i != j:
            pulls[j, k] += place[i]
    return -np.linalg.solve(curvature, pulls)
