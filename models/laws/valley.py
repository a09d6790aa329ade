"""The valley of a fit's objective over the two parameters that the data decide least, all others minimised: what else would have fitted as well."""

from dataclasses import dataclass

import numpy as np

from models.laws.core import Fit, Problem, minimum_near
from models.laws.fixed import FixedLaw
from models.laws.identifiability import covariance
from models.laws.law import Array

POINTS = 21  # along each parameter: an odd number, the minimum in the middle
REACH, FURTHEST = 2.5, 3.0  # from the minimum: standard deviations, but not more than a factor e^3


@dataclass(frozen=True)
class Valley:
    """The profile of the objective. `names` holds one parameter or two."""

    names: tuple[str, ...]
    values: tuple[Array, ...]  # of each, along its axis
    objective: Array  # (points,) or (points, points; the first parameter along the first axis), infinite where none was found


def valley(fitted: Fit) -> Valley:
    """Of the two parameters that weigh most in the direction that the data decide least; of one where there is no other."""
    _, directions = np.linalg.eigh(covariance(fitted))
    least_known = np.sort(np.argsort(-np.abs(directions[:, -1]), kind="stable")[:2])
    deviations = np.minimum(REACH * np.sqrt(np.diag(covariance(fitted))[least_known]), FURTHEST)
    axes_u = [fitted.u[k] + deviation * np.linspace(-1, 1, POINTS) for k, deviation in zip(least_known, deviations, strict=True)]
    hessian = fitted.problem.hessian(fitted.u)
    places = np.stack(np.meshgrid(*axes_u, indexing="ij"), axis=-1).reshape(-1, len(axes_u))
    objective = np.array([_lowest(fitted, hessian, least_known, place) for place in places])
    return Valley(
        names=tuple(fitted.problem.law.names[k] for k in least_known),
        values=tuple(_values(fitted, k, axis) for k, axis in zip(least_known, axes_u, strict=True)),
        objective=objective.reshape([POINTS] * len(axes_u)),
    )


def _values(fitted: Fit, k: int, axis_u: Array) -> Array:
    """Of the k-th parameter, along its axis."""
    along = np.tile(fitted.u, (len(axis_u), 1))
    along[:, k] = axis_u
    return fitted.problem.coordinates.values(along)[:, k]


def _lowest(fitted: Fit, hessian: Array, held: Array, place: Array) -> float:
    """The objective with the `held` coordinates at `place`, the others at their minimum, searched from where the Hessian expects it."""
    problem = fitted.problem
    u = fitted.u.copy()
    u[held] = place
    values = problem.coordinates.values(u)
    free = np.setdiff1d(np.arange(len(u)), held)
    if not len(free):
        return problem.objective(u)[0]
    if problem.coordinates.is_at_bound(values)[held].any():
        return np.inf
    law = FixedLaw(problem.law, {problem.law.names[k]: float(values[k]) for k in held})
    conditional = Problem.of(law, problem.inputs, problem.response, problem.weights, problem.delta)
    near = fitted.u[free] - np.linalg.lstsq(hessian[np.ix_(free, free)], hessian[np.ix_(free, held)] @ (place - fitted.u[held]))[0]
    penalty = 0.5 * float(problem.prior_precision[held] @ (place - problem.prior_mean[held]) ** 2)
    ends = np.array([minimum_near(conditional, start)[1] for start in (near, fitted.u[free])])
    return penalty + float(ends[np.isfinite(ends)].min(initial=np.inf))
