"""Gaussian process over mixtures."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize

from models.laws.law import Array
from models.mixture_laws.surface import Surface, SurfaceLaw

EXPONENTS = (1.0, 0.5, 0.25)  # beta to choose from: shares themselves; Hellinger's geometry, where multinomial samples are spread evenly; nearly logarithms
LEARNING_RUNS = 192  # that hyperparameters are learned from, at most: their number is fixed, and the effort grows with the cube
ITERATIONS = 60
MEAN_VARIANCE = 10.0  # of the constant, for a loss with variance 1
SQRT5 = np.sqrt(5.0)


class GaussianProcess(SurfaceLaw):
    """TODO"""

    name = "gp"

    def __init__(self, exponents=EXPONENTS):
        self.exponents = exponents

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        rows = np.random.default_rng(0).permutation(len(loss_n))[:LEARNING_RUNS]
        learned = [_learned(exponent, weights_nd, loss_n, rows, None) for exponent in self.exponents]
        best = min(learned, key=lambda it: it[1])[0]
        return _conditioned(best, weights_nd, loss_n)


@dataclass(frozen=True)
class Inputs:
    """Standardised powers of the weights; domains that never vary are left out."""

    exponent: float
    varied: Array
    means: Array
    scales: Array

    @classmethod
    def of(cls, exponent: float, weights_nd: Array) -> "Inputs":
        powers_nd = weights_nd**exponent
        scales_d = powers_nd.std(axis=0)
        varied = np.flatnonzero(scales_d > 1e-9)
        return cls(exponent, varied, powers_nd.mean(axis=0)[varied], scales_d[varied])

    def __call__(self, weights_md: Array) -> Array:
        return (weights_md[:, self.varied] ** self.exponent - self.means) / self.scales


@dataclass(frozen=True)
class Hyperparameters:
    inputs: Inputs
    log_values: Array  # variances of the curved part, the linear part, the noise; relevances of the domains


@dataclass(frozen=True)
class GaussianProcessSurface(Surface):
    hyperparameters: Hyperparameters
    observed_nd: Array  # inputs
    solved_n: Array  # kernel^-1 loss
    mean: float

    def predict(self, weights_md: Array) -> Array:
        curved, slanted, _ = _kernel(self.hyperparameters.log_values, self.hyperparameters.inputs(weights_md), self.observed_nd)
        return (curved + slanted + MEAN_VARIANCE) @ self.solved_n

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        if len(loss_n) <= LEARNING_RUNS:
            again = _learned(self.hyperparameters.inputs.exponent, weights_nd, loss_n, np.arange(len(loss_n)), self.hyperparameters.log_values)[0]
            return _conditioned(again, weights_nd, loss_n)
        return _conditioned(self.hyperparameters, weights_nd, loss_n)


def _kernel(log_values, one, other):
    relevance = np.exp(log_values[3:])
    a, b = one * relevance, other
    inner = a @ b.T
    square = (a * one).sum(1)[:, None] + (b * b * relevance).sum(1)[None] - 2 * inner
    r = np.sqrt(np.maximum(square, 0))
    curved = np.exp(log_values[0]) * (1 + SQRT5 * r + 5 / 3 * r * r) * np.exp(-SQRT5 * r)
    return curved, np.exp(log_values[1]) * inner, r


def _conditioned(hyper, weights_nd, loss_n):
    x = hyper.inputs(weights_nd)
    curved, slanted, _ = _kernel(hyper.log_values, x, x)
    k = curved + slanted + MEAN_VARIANCE + np.exp(hyper.log_values[2]) * np.eye(len(x))
    return GaussianProcessSurface(hyper, x, cho_solve(cho_factor(k, lower=True), loss_n), 0.0)


def _learned(exponent, weights_nd, loss_n, rows, start):
    inputs = Inputs.of(exponent, weights_nd)
    x, y = inputs(weights_nd[rows]), loss_n[rows]
    n, d = x.shape
    mean = np.concatenate([[0.0, np.log(0.3), np.log(0.01)], np.full(d, -np.log(max(d, 1)))])
    sd = np.concatenate([[1.5, 1.5, 2.0], np.full(d, 1.0)])
    outer = [np.outer(c, c) for c in x.T]
    differences = np.stack([(c[:, None] - c) ** 2 for c in x.T]).reshape(d, -1) if d else np.zeros((0, n * n))
    products = np.stack(outer).reshape(d, -1) if d else np.zeros((0, n * n))
    eye = np.eye(n)

    def objective(v):
        curved, slanted, r = _kernel(v, x, x)
        noise = np.exp(v[2])
        c, info = lapack.dpotrf(curved + slanted + MEAN_VARIANCE + (noise + 1e-8) * eye, lower=1)
        if info:
            return 1e10, np.zeros_like(v)
        inverse = lapack.dpotri(c, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        a = inverse @ y
        g = 0.5 * (inverse - np.outer(a, a))
        by_square = -np.exp(v[0]) * (5 / 6) * (1 + SQRT5 * r) * np.exp(-SQRT5 * r)  # d Matern / d r^2
        relevance = np.exp(v[3:])
        by_relevance = relevance * (differences @ (g * by_square).ravel() + np.exp(v[1]) * (products @ g.ravel()))
        gradient = np.concatenate([[(g * curved).sum(), (g * slanted).sum(), np.trace(g) * noise], by_relevance])
        z = (v - mean) / sd
        return 0.5 * y @ a + np.log(np.diag(c)).sum() + 0.5 * z @ z, gradient + z / sd

    found = minimize(objective, mean if start is None else start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS if start is None else 15})
    return Hyperparameters(inputs, found.x), float(found.fun)
