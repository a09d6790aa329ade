"""Least squares for a curve with more parameters than the runs alone decide: priors on parameters, heavy-tailed residuals, noise learned.

Minimises sum_i omega_i (y_i - f(x_i; theta))^2 / sigma^2 + sum_k ((theta_k - m_k) / s_k)^2 from several starts (Levenberg-Marquardt in a trust
region, SciPy), then alternates with sigma^2 (residual variance over the degrees of freedom left) and omega_i = (nu + 1) / (nu + r_i^2 / sigma^2):
the EM algorithm for Student's t residuals, which keeps one broken run from bending the curve (Lange, Little and Taylor, JASA 1989).

Shapes: n runs, p parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import t as student

from models.laws.law import Array

Curve = Callable[[Array], tuple[Array, Array]]  # parameters (p) -> predictions (n), derivatives (n, p)
STUDENT_FREEDOM = 4.0  # nu
EXPECTED_NOISE = 0.1  # sigma before any run is seen, of a loss with standard deviation 1, worth ...
EXPECTED_NOISE_RUNS = 2.0  # ... as much as so many runs
GROSS_ERROR = 3.0  # errors count as at most this, in standard deviations of the loss: one broken run does not choose the prior
SMALLEST_FREEDOM = 0.05  # of a run: the first order is not trusted beyond
ROUNDS = 3  # of learning sigma and omega
EVALUATIONS = 60  # of the curve in one minimisation


@dataclass(frozen=True)
class Prior:
    """Independent normal distributions of the parameters."""

    mean: Array
    standard_deviation: Array


@dataclass(frozen=True)
class PenalisedFit:
    theta: Array
    sigma: float
    leave_one_out_error: float  # mean square, of a run predicted from the others, to first order
    log_evidence: float  # Laplace's: how likely the runs are under curve and prior, whatever the parameters


def penalised_fit(curve: Curve, loss_n: Array, prior: Prior, starts: list[Array]) -> PenalisedFit:
    """The best of the starts, for losses of standard deviation about 1. `curve` must be finite for all parameters."""
    sigma, omega_n = EXPECTED_NOISE, np.ones(len(loss_n))
    best = min((_minimum(curve, loss_n, prior, sigma, omega_n, start) for start in starts), key=lambda it: it.cost)
    for _ in range(ROUNDS):
        residual_n = best.fun[: len(loss_n)] * sigma / np.sqrt(omega_n)
        freedom = max(len(loss_n) - _parameters_used(best, len(loss_n)), 1.0)
        sigma = float(np.sqrt((omega_n @ residual_n**2 + EXPECTED_NOISE_RUNS * EXPECTED_NOISE**2) / (freedom + EXPECTED_NOISE_RUNS)))
        omega_n = (STUDENT_FREEDOM + 1) / (STUDENT_FREEDOM + (residual_n / sigma) ** 2)
        best = _minimum(curve, loss_n, prior, sigma, omega_n, best.x)
    jacobian, residual_n = best.jac, best.fun[: len(loss_n)] * sigma / np.sqrt(omega_n)
    leverage_n = np.einsum("np,pn->n", jacobian[: len(loss_n)], np.linalg.solve(jacobian.T @ jacobian, jacobian[: len(loss_n)].T))
    ahead_n = np.abs(residual_n) / np.maximum(1 - leverage_n, SMALLEST_FREEDOM)
    error = float(np.mean(np.minimum(ahead_n, GROSS_ERROR) ** 2))
    log_likelihood = student.logpdf(residual_n, STUDENT_FREEDOM, scale=sigma).sum()
    log_occam = (
        -0.5 * np.sum(best.fun[len(loss_n) :] ** 2) - np.log(prior.standard_deviation).sum() - 0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1]
    )
    return PenalisedFit(best.x, sigma, error, float(log_likelihood + log_occam))


def _minimum(curve: Curve, loss_n: Array, prior: Prior, sigma: float, omega_n: Array, start: Array) -> OptimizeResult:
    root_n = np.sqrt(omega_n) / sigma

    def residuals(theta: Array) -> Array:
        return np.concatenate([(curve(theta)[0] - loss_n) * root_n, (theta - prior.mean) / prior.standard_deviation])

    def jacobian(theta: Array) -> Array:
        return np.vstack([curve(theta)[1] * root_n[:, None], np.diag(1 / prior.standard_deviation)])

    return least_squares(residuals, start, jacobian, max_nfev=EVALUATIONS)  # pyright: ignore[reportArgumentType]


def _parameters_used(minimum: OptimizeResult, runs: int) -> float:
    """How many parameters the runs, not the prior, decide: the trace of the hat matrix."""
    jacobian = minimum.jac
    return float(np.trace(np.linalg.solve(jacobian.T @ jacobian, jacobian[:runs].T @ jacobian[:runs])))
