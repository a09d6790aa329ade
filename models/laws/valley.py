"""The valley of a fit's objective over the two parameters that the data decide least, all others minimised: what else would have fitted as well."""

from dataclasses import dataclass

import numpy as np

from models.laws.core import Fit, Problem, minimum_near
from models.laws.fixed import FixedLaw
from models.laws.identifiability import covariance
from models.laws.law import Array

POINTS = 21  # along each parameter: an odd number, the minimum in the middle
REACH = 2.5  # standard deviations from the minimum, at most a factor e^3


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
    deviations = np.minimum(REACH * np.sqrt(np.diag(covariance(fitted))[least_known]), 3.0)
    axes = [fitted.u[k] + deviation * np.linspace(-1, 1, POINTS) for k, deviation in zip(least_known, deviations, strict=True)]
    values = []
    for k, axis in zip(least_known, axes, strict=True):
        along = np.tile(fitted.u, (POINTS, 1))
        along[:, k] = axis
        values.append(fitted.problem.coordinates.values(along)[:, k])
    names = tuple(fitted.problem.law.names[k] for k in least_known)
    hessian = fitted.problem.hessian(fitted.u)
    objective = np.array(
        [_lowest(fitted, hessian, least_known, np.array(place)) for place in np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))]
    )
    return Valley(names, tuple(values), objective.reshape([POINTS] * len(axes)))


def _lowest(fitted: Fit, hessian: Array, held: Array, place: Array) -> float:
    """The objective with the `held` coordinates at `place`, the others at their minimum, searched from where the Hessian expects it."""
    problem = fitted.problem
    u = fitted.u.copy()
    u[held] = place
    values = problem.coordinates.values(u)
    free = np.setdiff1d(np.arange(len(u)), held)
    if not len(free):
        return problem.objective(u)[0]
    law = FixedLaw(problem.law, {problem.law.names[k]: float(values[k]) for k in held})
    conditional = Problem.of(law, problem.inputs, problem.response, problem.weights, problem.delta)
    near = fitted.u[free] - np.linalg.lstsq(hessian[np.ix_(free, free)], hessian[np.ix_(free, held)] @ (place - fitted.u[held]))[0]
    penalty = 0.5 * float(problem.prior_precision[held] @ (place - problem.prior_mean[held]) ** 2)
    ends = np.array([minimum_near(conditional, start)[1] for start in (near, fitted.u[free])])
    return penalty + float(ends[np.isfinite(ends)].min(initial=np.inf))
