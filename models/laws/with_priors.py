"""Fits of laws with many parameters and weak priors: the runs' own scatter says how much a prior counts.

Shapes: n rows, p free parameters, s starts, b draws.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.laws.core import Fit, Problem, resampled_counts
from models.laws.estimator import WEIGHT, Options
from models.laws.fixed import FixedLaw
from models.laws.identifiability import warnings
from models.laws.law import Array, Law
from models.laws.least_squares import fit, refits
from models.laws.metrics import metrics
from models.laws.parametric import ParametricEstimate

HUBER = 1.345  # in standard deviations of the noise: 95% of the efficiency of least squares where the noise is normal
LEAST_SCATTER = 1e-6  # relative; a simulated table may have none


def row_weights(columns: Mapping[str, Array], rows: int) -> Array:
    """How much each row counts (n), with a mean of 1."""
    weights = columns.get(WEIGHT, np.ones(rows))
    return weights / weights.mean()


def fit_with_priors(law: Law, inputs: Mapping[str, Array], response: Array, weights: Array, delta: float, starts: Array) -> Fit:
    """The best fit from starts (s, p). It is made twice: the residuals of the first tell the scatter that the priors stand against, and Huber's
    delta, at least the one given. `weights` (n) have a mean of 1."""
    problem = Problem.of(law, inputs, response, weights / delta**2, delta)
    first = fit(problem, starts)
    rows = int((weights > 0).sum())
    freedom = max(rows - len(first.u), 1)
    scatter = 1.4826 * np.median((np.abs(problem.residuals(first.u)[0]) * np.sqrt(weights))[weights > 0]) * np.sqrt(rows / freedom)
    scatter = max(float(scatter), LEAST_SCATTER)
    final = replace(problem, weights=weights / scatter**2, delta=max(delta, HUBER * scatter))
    again = fit(final, first.values[None])
    return replace(again, starts_agreeing=first.starts_agreeing, starts_polished=first.starts_polished)


def draws_with_priors(fitted: Fit, options: Options, clusters: Array | None) -> Array:
    """Refits (b, p) on rows drawn with replacement, and with the priors' middles drawn too: where the data say nothing, the prior's width is left."""
    problem = fitted.problem
    if not len(fitted.u):
        return np.empty((options.bootstrap, 0))
    counts = resampled_counts(len(problem.weights), options.bootstrap, options.seed, clusters) if options.bootstrap else np.empty((0, 0))
    has_prior = problem.prior_precision > 0
    prior_sd = np.where(has_prior, 1 / np.sqrt(np.where(has_prior, problem.prior_precision, 1.0)), 0.0)
    means = problem.prior_mean + prior_sd * np.random.default_rng([options.seed, 1]).standard_normal((options.bootstrap, len(fitted.u)))
    return refits(fitted, (replace(problem, weights=problem.weights * count, prior_mean=mean) for count, mean in zip(counts, means, strict=True)))


def estimate_of(fitted: Fit, draws: Array) -> ParametricEstimate:
    """Of a `FixedLaw`, with draws (b, p)."""
    fixed = fitted.problem.law
    assert isinstance(fixed, FixedLaw)
    law, values, values_b = fixed.law, fixed.all_values(fitted.values), fixed.all_values(draws)
    return ParametricEstimate(
        law=law,
        fitted=fitted,
        values=values,
        values_b=values_b,
        coefficients=dict(zip(law.names, map(float, values), strict=True)),
        draws=dict(zip(law.names, values_b.T, strict=True)),
        objective_name=objective_name(fitted),
        objective=fitted.objective,
        metrics=metrics(fitted.problem.response, np.exp(law.log_prediction(values, fitted.problem.inputs))),
        warnings=warnings(fitted),
    )


def objective_name(fitted: Fit) -> str:
    has_priors = bool(fitted.problem.prior_precision.any())
    what = "log residuals" if fitted.problem.law.residual == "log" else "residuals"
    return f"sum of Huber(delta {fitted.problem.delta:.2g}) of {what} in units of their scatter{', plus priors' if has_priors else ''}"
