"""What a fit can't tell, in words: bounds reached, flat valleys, priors that decided, inputs with too few values."""

import numpy as np

from models.laws.core import Fit
from models.laws.law import Array

FEWEST_VALUES = 3  # of an input, to tell the exponent from the coefficient and both from the rest
FLAT_VALLEY = 1.0  # standard deviation of a parameter's logarithm (or of its place between bounds, as logit): known within a factor e
PRIOR_DECIDED = 0.8  # of the prior's standard deviation that is left after the fit


def warnings(fitted: Fit) -> tuple[str, ...]:
    """One sentence per doubt. Empty for a fit whose parameters the data decide."""
    return (*_few_values(fitted), *_bounds_reached(fitted), *_priors_that_decide(fitted), *_flat_valley(fitted))


def _few_values(fitted: Fit) -> list[str]:
    counts = {name: len(np.unique(column)) for name, column in fitted.problem.inputs.items() if column.dtype.kind == "f"}
    return [
        f"There are only {count} values of {name}: how the loss changes with it is hardly known."
        if count > 1
        else f"All runs have the same {name}: how the loss changes with it is not known."
        for name, count in counts.items()
        if count < FEWEST_VALUES
    ]


def _bounds_reached(fitted: Fit) -> list[str]:
    bounds = [(parameter.name, parameter.at_bound(value)) for parameter, value in zip(fitted.problem.law.parameters, fitted.values, strict=True)]
    return [
        f"{name} has reached its bound {bound:g}: the law does not describe these data, or they do not decide {name}."
        for name, bound in bounds
        if bound is not None
    ]


def _priors_that_decide(fitted: Fit) -> list[str]:
    """Of the parameters that are fitted as logarithms; deviations around 0 are meant to be held by theirs."""
    remaining = _standard_deviations(fitted) * np.sqrt(fitted.problem.prior_precision)
    decided = [
        p.name for p, left in zip(fitted.problem.law.parameters, remaining, strict=True) if p.prior and p.transform == "log" and left > PRIOR_DECIDED
    ]
    return [f"The data hardly decide {_listed(decided)}: the prior does, and intervals are as wide as it is."] if decided else []


def _flat_valley(fitted: Fit) -> list[str]:
    """The direction of parameters without priors that the data decide least, when it is flat."""
    free = fitted.problem.prior_precision == 0
    if not free.any():
        return []
    spread, directions = np.linalg.eigh(_covariance(fitted)[np.ix_(free, free)])
    if spread[-1] <= FLAT_VALLEY**2:
        return []
    names = [name for name, is_free in zip(fitted.problem.law.names, free, strict=True) if is_free]
    along = [name for name, part in zip(names, np.abs(directions[:, -1]), strict=True) if part > 0.3]
    return [f"{_listed(along)} lie{'s' if len(along) == 1 else ''} in a flat valley: other values fit as well; trust predictions near the data only."]


def _standard_deviations(fitted: Fit) -> Array:
    return np.sqrt(np.diag(_covariance(fitted)))


def _covariance(fitted: Fit) -> Array:
    """(p, p) of u, from the least-squares Hessian; where there are no priors, the residuals tell the noise."""
    problem = fitted.problem
    residual, jacobian = problem.residuals(fitted.u)
    has_priors = bool(problem.prior_precision.any())
    noise = 1.0 if has_priors else float(problem.weights @ residual**2) / max(len(residual) - len(fitted.u), 1)
    information = (jacobian.T * problem.weights) @ jacobian / max(noise, 1e-300) + np.diag(problem.prior_precision)
    strength, directions = np.linalg.eigh(information)
    return (directions / np.maximum(strength, 1e-12 * strength.max())) @ directions.T


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
