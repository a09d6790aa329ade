"""Minima of the core's objective by a trust region on the Gauss-Newton model (SciPy's `least_squares`).

For laws with many parameters in narrow curved valleys: where L-BFGS (`core.py`) takes thousands of steps, this takes dozens. The objective is
the same.

Shapes: n rows, p parameters, s starts, b draws.
"""

from collections.abc import Iterable

import numpy as np
from scipy.optimize import least_squares

from models.laws.core import Fit, Problem
from models.laws.law import Array

STARTS_DESCENDED = 8  # of all starts, those with the lowest objective
STEPS, TOLERANCE = 300, 1e-10  # at most; relative, of objective and parameters
STEPS_OF_A_DRAW, TOLERANCE_OF_A_DRAW = 60, 1e-6  # of a bootstrap: its error is far below the scatter of the draws


def fit(problem: Problem, starts: Array) -> Fit:
    """The best minimum found from the best of the starts (s, p; parameter values)."""
    starts = problem.coordinates.unbounded(starts)
    with np.errstate(all="ignore"):
        objectives = np.nan_to_num([problem.objective(start)[0] for start in starts], nan=np.inf)
    best_first = starts[np.argsort(objectives, kind="stable")][:STARTS_DESCENDED]
    ends = [minimum(problem, start) for start in best_first]
    reached = np.array([problem.objective(end)[0] for end in ends])
    best = int(reached.argmin())
    return Fit(problem, ends[best], float(reached[best]), int((reached <= reached[best] * 1.001).sum()), len(ends))


def refits(fitted: Fit, problems: Iterable[Problem]) -> Array:
    """The minima (b, p; parameter values) of neighbours of a fitted problem."""
    minima = [minimum(problem, fitted.u, STEPS_OF_A_DRAW, TOLERANCE_OF_A_DRAW) for problem in problems]
    return fitted.problem.coordinates.values(np.array(minima).reshape(-1, len(fitted.u)))


def minimum(problem: Problem, start: Array, steps: int = STEPS, tolerance: float = TOLERANCE) -> Array:
    """u (p) where the objective is lowest near `start` (p), or the best met in `steps`. The prior's terms are rows that are not Huber's."""
    if not len(start):
        return start
    drawn = problem.weights > 0
    root = np.sqrt(problem.weights[drawn])
    prior = np.diag(np.sqrt(problem.prior_precision))[problem.prior_precision > 0]
    knee = np.concatenate([problem.delta * root, np.full(len(prior), np.inf)])

    def residuals(u: Array) -> Array:
        return np.concatenate([root * problem.residuals(u)[0][drawn], prior @ (u - problem.prior_mean)])

    def jacobian(u: Array) -> Array:
        return np.nan_to_num(np.vstack([root[:, None] * problem.residuals(u)[1][drawn], prior]), posinf=0.0, neginf=0.0)

    def huber(squared: Array) -> Array:
        """rho, its slope and its curvature by the squared residual."""
        size = np.sqrt(np.maximum(squared, 1e-300))
        beyond = size > knee
        bend = np.where(beyond, knee, 0.0)
        return np.stack(
            [
                np.where(beyond, 2 * bend * size - bend**2, squared),
                np.where(beyond, bend / size, 1.0),
                np.where(beyond, -bend / (2 * size**3), 0.0),
            ]
        )

    limits = {"max_nfev": steps, "ftol": tolerance, "xtol": tolerance, "gtol": 1e-12}
    with np.errstate(all="ignore"):
        # SciPy's types know names of losses and of derivatives, not functions
        return least_squares(residuals, start, jacobian, loss=huber, x_scale="jac", **limits).x  # pyright: ignore[reportArgumentType]
