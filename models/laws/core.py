"""The fitting core that all laws share: a law declares its parameters and its prediction, the core finds them.

Objective: sum_i w_i Huber_delta(log y_i - log f(x_i; theta)) + 1/2 sum_k ((u_k - m_k) / s_k)^2, after arXiv 2203.15556 eq. 3 and appendix D.3;
y_i - f where a law's residuals are absolute; the second sum only where a law declares priors. L-BFGS (SciPy) over unbounded coordinates u, from many
starts, polished in coordinates whitened by the Gauss-Newton Hessian: flat valleys become round, so that the minimum is exact and a warm-started
refit takes few steps.

Shapes: n rows, p parameters, b draws.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from models.frozen import StudyError
from models.laws.law import Array, Coordinates, Law

ROUNDING = 1e-9  # relative: values that differ by less are equal
STARTS_POLISHED = 12  # of all starts, those with the lowest objective


@dataclass(frozen=True)
class Problem:
    """A law and the data it is fitted to. Draws of a bootstrap are the same problem with other weights, losses or prior means."""

    law: Law
    inputs: Mapping[str, Array]
    observed: Array  # log y, or y where the law's residuals are absolute
    weights: Array
    delta: float
    prior_mean: Array
    prior_precision: Array  # 1 / sd^2; 0 where there is no prior
    coordinates: Coordinates

    @classmethod
    def of(cls, law: Law, inputs: Mapping[str, Array], loss: Array, weights: Array | None = None, delta: float = 1e-3) -> "Problem":
        priors = [parameter.prior for parameter in law.parameters]
        return cls(
            law=law,
            inputs=inputs,
            observed=np.log(loss) if law.residual == "log" else np.asarray(loss, dtype=float),
            weights=np.ones(len(loss)) if weights is None else weights,
            delta=delta,
            prior_mean=np.array([prior[0] if prior else 0.0 for prior in priors]),
            prior_precision=np.array([prior[1] ** -2 if prior else 0.0 for prior in priors]),
            coordinates=Coordinates.of(law),
        )

    @property
    def unit(self) -> float:
        """Of the objective: what one row adds that is delta off. In this unit tolerances mean the same for all problems."""
        return self.delta**2 * float(self.weights.max())

    def residuals(self, u: Array) -> tuple[Array, Array]:
        """log f - log y, or f - y (n), and its derivatives by u (n, p)."""
        values = self.coordinates.values(u)
        predicted, jacobian = self.law.log_prediction_and_jacobian(values, self.inputs)
        if self.law.residual == "absolute":
            predicted = np.exp(predicted)
            jacobian = jacobian * predicted[:, None]
        return predicted - self.observed, jacobian * self.coordinates.slopes(u, values)

    @property
    def response(self) -> Array:
        """y (n)."""
        return np.exp(self.observed) if self.law.residual == "log" else self.observed

    def objective(self, u: Array) -> tuple[float, Array]:
        """The objective and its gradient (p)."""
        residual, jacobian = self.residuals(u)
        influence = np.clip(residual, -self.delta, self.delta)
        off_prior = u - self.prior_mean
        penalty = self.prior_precision * off_prior
        value = self.weights @ (influence * (residual - 0.5 * influence)) + 0.5 * penalty @ off_prior
        return float(value), (self.weights * influence) @ jacobian + penalty

    def hessian(self, u: Array) -> Array:
        """Gauss-Newton's (p, p), with the weights of iteratively reweighted least squares for Huber's loss."""
        residual, jacobian = self.residuals(u)
        weights = self.weights * np.minimum(1.0, self.delta / np.maximum(np.abs(residual), 1e-300))
        return (jacobian.T * weights) @ jacobian + np.diag(self.prior_precision)


@dataclass(frozen=True)
class Fit:
    """The best minimum found. `values` (p) are those of `problem.law.names`."""

    problem: Problem
    u: Array
    objective: float
    starts_agreeing: int  # of the polished starts, those that ended within 0.1% of the best objective
    starts_polished: int

    @property
    def values(self) -> Array:
        return self.problem.coordinates.values(self.u)

    @property
    def coefficients(self) -> dict[str, float]:
        return dict(zip(self.problem.law.names, map(float, self.values), strict=True))


@dataclass(frozen=True)
class Dropped:
    count: int
    reason: str


def usable_rows(columns: Mapping[str, Array]) -> tuple[Array, tuple[Dropped, ...]]:
    """Which rows can enter a fit on logarithms (n, boolean), and why the others can't: every column must be finite and positive."""
    usable = np.ones(len(next(iter(columns.values()))), dtype=bool)
    dropped = []
    for name, column in columns.items():
        for reason, good in ((f"{name} is not finite", np.isfinite(column)), (f"{name} is not positive", ~(column <= 0))):
            if count := int((usable & ~good).sum()):
                dropped.append(Dropped(count, reason))
            usable &= good
    return usable, tuple(dropped)


def fit(problem: Problem, starts: Array | None = None) -> Fit:
    """The best of many starts (parameter values, (starts, p); the law's own when absent): all are evaluated, the best few minimised and polished
    until the objective no longer falls.

    Raises:
        StudyError: when the rows are fewer than the parameters that they alone decide, all responses are equal, or the law has no value at any start.
    """
    check_fittable(problem)
    starts = problem.coordinates.unbounded(problem.law.starts(problem.inputs, problem.response) if starts is None else starts)
    with np.errstate(all="ignore"):
        start_objectives = np.array([problem.objective(start)[0] for start in starts])
    if not np.isfinite(start_objectives).any():
        raise StudyError(f"The law '{problem.law.name}' has no value at these rows: are the columns mapped as they should be?")
    best_first = starts[np.argsort(start_objectives, kind="stable")][: min(STARTS_POLISHED, int(np.isfinite(start_objectives).sum()))]
    with np.errstate(all="ignore"):
        ends = [_polished(problem, start) for start in best_first]
    objectives = np.nan_to_num([objective for _, objective in ends], nan=np.inf)
    u, objective = ends[int(objectives.argmin())]
    return Fit(problem, u, objective, int((objectives <= objective * 1.001).sum()), len(ends))


def check_fittable(problem: Problem) -> None:
    """
    Raises:
        StudyError: when the rows are fewer than the parameters that they alone decide, or all responses are equal.
    """
    free, rows = int((problem.prior_precision == 0).sum()), len(problem.observed)
    if rows <= free:
        raise StudyError(f"The law '{problem.law.name}' has {free} free parameters and only {rows} usable rows: add runs, or a simpler law.")
    if np.ptp(problem.observed) <= ROUNDING * np.abs(problem.observed).max():
        what = "losses" if problem.law.response == "loss" else f"values of {problem.law.response}"
        raise StudyError(f"All {rows} {what} are equal ({problem.response[0]:g}): there is nothing to fit a law to.")


def refits(fitted: Fit, problems: Iterator[Problem]) -> Array:
    """The minima (b, p; parameter values) of neighbours of a fitted problem."""
    return fitted.problem.coordinates.values(np.stack([minimum_near(problem, fitted.u)[0] for problem in problems]))


def minimum_near(problem: Problem, u: Array) -> tuple[Array, float]:
    """The minimum (p) and its objective: one Gauss-Newton step from a place that is close to it, then L-BFGS, whitened there. Infinite where the
    law has no value at that place."""
    with np.errstate(all="ignore"):
        objective, gradient = problem.objective(u)
        hessian = problem.hessian(u)
        if not (np.isfinite(objective) and np.isfinite(hessian).all()):
            return u, np.inf
        start = u - np.linalg.lstsq(hessian, gradient)[0]
        is_good = np.isfinite(problem.objective(start)[0]) and np.isfinite(problem.hessian(start)).all()
        start = start if is_good else u
        return _descend(problem, start, _whitening(problem, start))


def bootstrap(fitted: Fit, draws: int, seed: int, clusters: Array | None = None, strata: Array | None = None) -> Array:
    """Refits (b, p) on rows drawn with replacement.

    clusters: (n) rows that are drawn together, such as the checkpoints of one run; each row alone when absent.
    strata: (n) rows within which clusters are drawn, such as the seeds of one cell; all rows when absent.
    """
    counts = resampled_counts(len(fitted.problem.weights), draws, seed, clusters, strata)
    return refits(fitted, (replace(fitted.problem, weights=fitted.problem.weights * count) for count in counts))


def resampled_counts(rows: int, draws: int, seed: int, clusters: Array | None = None, strata: Array | None = None) -> Array:
    """How often each row is in each draw (b, n)."""
    random = np.random.default_rng(seed)
    clusters = np.arange(rows) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    strata = np.zeros(rows, dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    counts = np.zeros((draws, clusters.max() + 1), dtype=int)
    for stratum in range(strata.max() + 1):
        members = np.unique(clusters[strata == stratum])
        counts[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return counts[:, clusters]


def _polished(problem: Problem, start: Array) -> tuple[Array, float]:
    """Minimises, whitens at where that ended, and again, until the objective falls by less than a part in 10^9."""
    u, objective = _descend(problem, start, np.eye(len(start)))
    for _ in range(10):
        better, lower = _descend(problem, u, _whitening(problem, u))
        gain, u, objective = objective - lower, better, lower
        if gain <= 1e-9 * abs(objective):
            break
    return u, objective


def _descend(problem: Problem, start: Array, whitening: Array) -> tuple[Array, float]:
    """L-BFGS from `start` in coordinates z, u = start + whitening z."""
    unit = problem.unit

    def scaled(z: Array) -> tuple[float, Array]:
        value, gradient = problem.objective(start + whitening @ z)
        return value / unit, gradient @ whitening / unit

    result = minimize(scaled, np.zeros(len(start)), jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-11, "gtol": 1e-7})
    return start + whitening @ result.x, float(result.fun) * unit


def _whitening(problem: Problem, u: Array) -> Array:
    """(p, p): the inverse square root of the Hessian; directions without curvature count as having 1e-10 of the strongest's."""
    hessian = problem.hessian(u)
    if not np.isfinite(hessian).all():
        return np.eye(len(u))
    strength, directions = np.linalg.eigh(hessian / problem.unit)
    return directions / np.sqrt(np.maximum(strength, 1e-10 * strength.max()))
