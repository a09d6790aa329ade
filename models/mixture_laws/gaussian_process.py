"""Gaussian process over mixtures.

Shapes: n runs, d domains (those that vary), m mixtures, p = 3 + d hyperparameters.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri  # pyright: ignore[reportAttributeAccessIssue]
from scipy.optimize import minimize

from models.laws.law import Array
from models.mixture_laws.surface import Surface, SurfaceLaw

EXPONENTS = (1.0, 0.5, 0.25)  # beta to choose from: shares; Hellinger's geometry, where samples scatter evenly; nearly a logarithm, yet finite at 0
LEARNING_RUNS = 192  # that hyperparameters are learned from, at most: the effort grows with the cube
ITERATIONS = 60
ITERATIONS_AGAIN = 15  # from the hyperparameters of nearly the same runs
MEAN_VARIANCE = 10.0  # of the constant, for a loss with variance 1
SQRT5 = np.sqrt(5.0)
JITTER = 1e-8  # relative to the loss' variance

# Log-normal priors, for a loss of variance 1 and inputs of variance 1: median and standard deviation of the logarithm.
CURVED, SLANTED, NOISE = (1.0, 1.5), (0.3, 1.5), (0.01, 2.0)  # variances
RELEVANCE_SPREAD = 1.0  # of a domain; the median is 1 / d, so that all domains together move the loss by about its spread


class GaussianProcess(SurfaceLaw):
    """L_i(r) ~ GP(c_i, v_curved Matern52(rho(r, r')) + v_slanted sum_j l_j x_j x'_j) + noise.

    Here x_j = standardised r_j^beta, and rho^2 = sum_j l_j (x_j - x'_j)^2.

    Source: Rasmussen and Williams 2006, eq. 2.25 and 5.8, with automatic relevance determination (l_j); for mixtures of data, as a regression in the
    place of those of arXiv 2407.01492. A linear part carries predictions beyond the runs, where the curved part returns to the mean; both have the
    same relevant domains.
    Bounds: variances and relevances > 0 (logarithms are fitted).
    Initialisation: the priors' medians; maximum a posteriori by L-BFGS with the analytic gradient, for beta = 1, 1/2, 1/4; the likeliest stays.
    Identifiability: v and all l trade off; their priors keep them near 1. A domain that never varies is left out.
    """

    name = "gp"

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        rows = np.random.default_rng(0).permutation(len(loss_n))[:LEARNING_RUNS]
        learned = [Hyperparameters.learned(Inputs.of(exponent, weights_nd), weights_nd[rows], loss_n[rows]) for exponent in EXPONENTS]
        return GaussianProcessSurface.of(min(learned, key=lambda it: it.negative_log_posterior), weights_nd, loss_n)


@dataclass(frozen=True)
class Inputs:
    """Standardised powers of the weights; domains that never vary are left out."""

    exponent: float
    varied: Array  # columns
    means_d: Array
    scales_d: Array

    @classmethod
    def of(cls, exponent: float, weights_nd: Array) -> "Inputs":
        powers_nd = weights_nd**exponent
        varied = np.flatnonzero(powers_nd.std(axis=0) > 1e-9)
        return cls(exponent, varied, powers_nd.mean(axis=0)[varied], powers_nd.std(axis=0)[varied])

    def __call__(self, weights_md: Array) -> Array:
        return (weights_md[:, self.varied] ** self.exponent - self.means_d) / self.scales_d


@dataclass(frozen=True)
class Hyperparameters:
    inputs: Inputs
    log_values: Array  # (p) of the variances of the curved part, the linear part and the noise; of the relevances
    negative_log_posterior: float

    @classmethod
    def learned(cls, inputs: Inputs, weights_nd: Array, loss_n: Array, start: Array | None = None) -> "Hyperparameters":
        objective = Posterior(inputs(weights_nd), loss_n)
        options = {"maxiter": ITERATIONS if start is None else ITERATIONS_AGAIN}
        found = minimize(objective, objective.prior_mean if start is None else start, jac=True, method="L-BFGS-B", options=options)
        return cls(inputs, found.x, float(found.fun))


class Posterior:
    """Minus the logarithm of p(loss | hyperparameters) p(hyperparameters), and its gradient (p)."""

    def __init__(self, inputs_nd: Array, loss_n: Array) -> None:
        self.inputs_nd, self.loss_n = inputs_nd, loss_n
        domains = inputs_nd.shape[1]
        columns = [*(np.log(median) for median, _ in (CURVED, SLANTED, NOISE)), *np.full(domains, -np.log(max(domains, 1)))]
        self.prior_mean = np.array(columns)
        self.prior_spread = np.array([CURVED[1], SLANTED[1], NOISE[1], *np.full(domains, RELEVANCE_SPREAD)])
        self.squares = np.array([np.subtract.outer(column, column) ** 2 for column in inputs_nd.T]).reshape(domains, -1)
        self.products = np.array([np.outer(column, column) for column in inputs_nd.T]).reshape(domains, -1)

    def __call__(self, log_values: Array) -> tuple[float, Array]:
        curved_nn, slanted_nn, distance_nn = _kernel(log_values, self.inputs_nd, self.inputs_nd)
        curved_variance, slanted_variance, noise = np.exp(log_values[:3])
        covariance_nn = curved_nn + slanted_nn + MEAN_VARIANCE + (noise + JITTER) * np.eye(len(self.loss_n))
        root_nn, failed = dpotrf(covariance_nn, lower=1)
        if failed:  # the search went where numbers end: send it back
            return 1e10, np.zeros_like(log_values)
        lower_nn = np.tril(dpotri(root_nn, lower=1)[0])
        inverse_nn = lower_nn + np.tril(lower_nn, -1).T
        solved_n = inverse_nn @ self.loss_n
        by_covariance_nn = 0.5 * (inverse_nn - np.outer(solved_n, solved_n))
        by_square_nn = -curved_variance * 5 / 6 * (1 + SQRT5 * distance_nn) * np.exp(-SQRT5 * distance_nn)  # d Matern52 / d rho^2
        by_relevance_d = self.squares @ (by_covariance_nn * by_square_nn).ravel() + slanted_variance * (self.products @ by_covariance_nn.ravel())
        by_variances = [np.sum(by_covariance_nn * curved_nn), np.sum(by_covariance_nn * slanted_nn), np.trace(by_covariance_nn) * noise]
        off_prior = (log_values - self.prior_mean) / self.prior_spread
        value = 0.5 * self.loss_n @ solved_n + np.log(np.diag(root_nn)).sum() + 0.5 * off_prior @ off_prior
        return float(value), np.array([*by_variances, *(np.exp(log_values[3:]) * by_relevance_d)]) + off_prior / self.prior_spread


@dataclass(frozen=True)
class GaussianProcessSurface(Surface):
    hyperparameters: Hyperparameters
    observed_nd: Array  # inputs
    solved_n: Array  # covariance^-1 loss

    @classmethod
    def of(cls, hyperparameters: Hyperparameters, weights_nd: Array, loss_n: Array) -> "GaussianProcessSurface":
        observed_nd, log_values = hyperparameters.inputs(weights_nd), hyperparameters.log_values
        curved_nn, slanted_nn, _ = _kernel(log_values, observed_nd, observed_nd)
        covariance_nn = curved_nn + slanted_nn + MEAN_VARIANCE + (np.exp(log_values[2]) + JITTER) * np.eye(len(loss_n))
        return cls(hyperparameters, observed_nd, cho_solve(cho_factor(covariance_nn, lower=True), loss_n))

    def predict(self, weights_md: Array) -> Array:
        curved_mn, slanted_mn, _ = _kernel(self.hyperparameters.log_values, self.hyperparameters.inputs(weights_md), self.observed_nd)
        return (curved_mn + slanted_mn + MEAN_VARIANCE) @ self.solved_n

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        """Learns again where that is cheap, and where few runs decide much; many runs give the same hyperparameters with or without a fold."""
        learned = self.hyperparameters
        if len(loss_n) <= LEARNING_RUNS:
            learned = Hyperparameters.learned(learned.inputs, weights_nd, loss_n, learned.log_values)
        return GaussianProcessSurface.of(learned, weights_nd, loss_n)


def _kernel(log_values: Array, one_md: Array, other_nd: Array) -> tuple[Array, Array, Array]:
    """The curved and the linear part, and rho (m, n)."""
    relevance_d = np.exp(log_values[3:])
    inner_mn = (one_md * relevance_d) @ other_nd.T
    square_mn = (one_md**2 @ relevance_d)[:, None] + other_nd**2 @ relevance_d - 2 * inner_mn
    distance_mn = np.sqrt(np.maximum(square_mn, 0.0))
    curved_mn = np.exp(log_values[0]) * (1 + SQRT5 * distance_mn + 5 / 3 * distance_mn**2) * np.exp(-SQRT5 * distance_mn)
    return curved_mn, np.exp(log_values[1]) * inner_mn, distance_mn
