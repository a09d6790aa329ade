"""What a fit can't tell, in words: bounds reached, flat valleys, priors that decided, inputs with too few values."""

from itertools import combinations

import numpy as np

from models.frozen import StudyError
from models.laws.core import ROUNDING, Fit, Problem
from models.laws.law import Array

FEWEST_VALUES = 3  # of an input, to tell the exponent from the coefficient and both from the rest
FLAT_VALLEY = 1.0  # standard deviation of a parameter's logarithm (or of its place between bounds, as logit): known within a factor e
VANISHED = 1e-5  # change of the logarithm of all predictions, per factor e of a parameter
TIED = 0.9999  # correlation of the logarithms of two inputs
NO_INFLUENCE = 1e-9  # of the strongest direction of the scaled Jacobian: below it, rounding
STARTS_LOOKED_AT = 8
FEWEST_DRAWS = 20  # of a bootstrap, to tell its 5% and 95% quantiles
NORMAL_95 = 1.645  # standard deviations
PRIOR_DECIDED = 0.8  # of the prior's standard deviation that is left after the fit


def warnings(fitted: Fit) -> tuple[str, ...]:
    """One sentence per doubt. Empty for a fit whose parameters the data decide."""
    return (
        *_few_values(fitted),
        *_tied_inputs(fitted),
        *_bounds_reached(fitted),
        *_terms_that_vanished(fitted),
        *_priors_that_decide(fitted),
        *_flat_valley(fitted),
    )


def check_identifiable(problem: Problem) -> None:
    """Refuses rows that hold nothing at all about a parameter, wherever it may be: one that moves no prediction, or one that comes with an input
    that is the same in all rows.

    Raises:
        StudyError: naming the parameters, the input and the way out.
    """
    without_influence, entangled = _structure(problem)
    law = problem.law.name
    if without_influence:
        raise StudyError(
            f"These {len(problem.observed)} rows say nothing about {_listed(without_influence)}, which would change the prediction of none of them: "
            f"add runs where {'they do' if len(without_influence) > 1 else 'it does'}, or give a value, as with --fix {without_influence[0]}=VALUE."
        )
    constant = {name: column[0] for name, column in problem.inputs.items() if column.dtype.kind == "f" and num_values(column) == 1}
    if constant and entangled:
        values = _listed([f"{name} ({value:g})" for name, value in constant.items()])
        raise StudyError(
            f"All {len(problem.observed)} rows have the same {values}, so that the law '{law}' can't tell {_listed(entangled)} apart: "
            f"add runs at another {next(iter(constant))}, give values with --fix, or fit a law without it."
        )


def _structure(problem: Problem) -> tuple[list[str], list[str]]:
    """Names of parameters that no prediction depends on; and of those that only act together. Where a law starts, not where it is fitted: there a
    parameter may have lost its influence by its value."""
    starts = problem.coordinates.unbounded(problem.law.starts(problem.inputs, problem.response))
    free = problem.prior_precision == 0
    names = np.array(problem.law.names)[free]
    best_rank, best = -1, ([], [])
    with np.errstate(all="ignore"):
        jacobians = [problem.residuals(u)[1][:, free] for u in starts[:: max(1, len(starts) // STARTS_LOOKED_AT)]]
    for jacobian in jacobians:
        if not np.isfinite(jacobian).all():
            continue
        lengths = np.linalg.norm(jacobian, axis=0)
        acts = lengths > NO_INFLUENCE * lengths.max()
        _, strength, directions = np.linalg.svd(jacobian[:, acts] / lengths[acts], full_matrices=True)
        rank = int((strength > NO_INFLUENCE * strength[0]).sum())
        if rank > best_rank:
            in_null_space = np.linalg.norm(directions[rank:], axis=0) > 0.01
            best_rank, best = rank, (list(names[~acts]), list(names[acts][in_null_space]))
    return best


def wide_intervals(fitted: Fit, draws: Array) -> tuple[str, ...]:
    """A sentence per parameter that is a scale (fitted as a logarithm, or between 0 and a bound) and whose draws (b, p; values) spread over more
    than the factor that the flat valley's standard deviation allows."""
    if len(draws) < FEWEST_DRAWS:
        return ()
    low, high = np.quantile(np.nan_to_num(draws, nan=np.inf), [0.05, 0.95], axis=0, method="inverted_cdf")
    return tuple(
        f"{parameter.name} is hardly known: 90% of the draws lie between {below:.3g} and {above:.3g}."
        for parameter, below, above in zip(fitted.problem.law.parameters, low, high, strict=True)
        if parameter.transform == "log" or parameter.low == 0
        if not above <= below * np.exp(2 * NORMAL_95 * FLAT_VALLEY)
    )


def _few_values(fitted: Fit) -> list[str]:
    counts = {name: num_values(column) for name, column in fitted.problem.inputs.items() if column.dtype.kind == "f"}
    return [
        f"There are only {count} values of {name}: how the loss changes with it is hardly known."
        if count > 1
        else f"All runs have the same {name}: how the loss changes with it is not known."
        for name, count in counts.items()
        if count < FEWEST_VALUES
    ]


def _tied_inputs(fitted: Fit) -> list[str]:
    """Pairs of inputs that vary, one as a power of the other."""
    varying = {name: x for name, x in fitted.problem.inputs.items() if x.dtype.kind == "f" and (x > 0).all() and num_values(x) >= FEWEST_VALUES}
    return [
        f"{a} and {b} vary together in all runs: what the loss owes to the one can't be told from what it owes to the other."
        for a, b in combinations(varying, 2)
        if abs(np.corrcoef(np.log(varying[a]), np.log(varying[b]))[0, 1]) > TIED
    ]


def num_values(column: Array) -> int:
    """How many different values there are, rounding aside."""
    steps = np.diff(np.sort(column))
    return 1 + int((steps > ROUNDING * np.abs(column).max()).sum())


def _bounds_reached(fitted: Fit) -> list[str]:
    bounds = [(parameter.name, parameter.at_bound(value)) for parameter, value in zip(fitted.problem.law.parameters, fitted.values, strict=True)]
    return [
        f"{name} has reached its bound {bound:g}: the law does not describe these data, or they do not decide {name}."
        for name, bound in bounds
        if bound is not None
    ]


def _terms_that_vanished(fitted: Fit) -> list[str]:
    """Parameters that are fitted as logarithms, and have run to where they change no prediction: the bootstrap begins there too, and stays."""
    _, jacobian = fitted.problem.residuals(fitted.u)
    relative = jacobian / np.abs(fitted.problem.observed).max() if fitted.problem.law.residual == "absolute" else jacobian
    return [
        f"{parameter.name} has ended at {value:.2g}, where it changes no prediction: these data ask for no such term, and its interval says nothing."
        for parameter, value, column in zip(fitted.problem.law.parameters, fitted.values, relative.T, strict=True)
        if parameter.transform == "log" and np.abs(column).max() < VANISHED
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
    spread, directions = np.linalg.eigh(covariance(fitted)[np.ix_(free, free)])
    if spread[-1] <= FLAT_VALLEY**2:
        return []
    names = [name for name, is_free in zip(fitted.problem.law.names, free, strict=True) if is_free]
    along = [name for name, part in zip(names, np.abs(directions[:, -1]), strict=True) if part > 0.3]
    return [f"{_listed(along)} lie{'s' if len(along) == 1 else ''} in a flat valley: other values fit as well; trust predictions near the data only."]


def _standard_deviations(fitted: Fit) -> Array:
    return np.sqrt(np.diag(covariance(fitted)))


def covariance(fitted: Fit) -> Array:
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
