"""The data mixing law: an exponential of a linear function of the weights."""

from dataclasses import dataclass

import numpy as np

from models.laws.law import Array
from models.mixture_laws.penalised_fit import PenalisedFit, Prior, penalised_fit
from models.mixture_laws.surface import Surface, SurfaceLaw

TRANSFER_SPREADS = (1.0, 3.0, 10.0, 30.0, 100.0)  # standard deviations of t_j to choose from. At 100, 1% of a domain changes the loss e-fold
FLOOR_MEAN, FLOOR_SPREAD = -2.0, 2.0  # of c, for a loss with mean 0 and standard deviation 1: some way below the lowest loss
SIZE_SPREAD = 3.0  # of log k
START_FLOORS = (0.3, 2.0)  # c, below the lowest loss
START_PENALTY = 0.1  # of the linear regression that gives the first t


class Exponential(SurfaceLaw):
    """L_i(r) = c_i + k_i exp(sum_j t_ij r_j).

    Source: arXiv 2403.16952 eq. 8.
    Bounds: k > 0 (its logarithm is fitted). c and t are free.
    Initialisation: with c fixed at two places below the lowest loss, log(L - c) is linear in t: a ridge regression. Levenberg-Marquardt from both.
    Priors: t_j ~ N(0, spread), the spread chosen by the leave-one-out error among 1 to 100, so that the law stands with fewer runs than its d + 2
    parameters.
    Identifiability: weights sum to one, so adding a constant to all t and dividing k by its exponential changes nothing; the prior takes the t
    nearest to 0, and only differences between t are to be read. Without runs near the floor, c and k trade off.
    """

    name = "exp"

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        starts = [_linear_start(weights_nd, loss_n, float(loss_n.min()) - below) for below in START_FLOORS]
        fits = {spread: _fit(spread, weights_nd, loss_n, starts) for spread in TRANSFER_SPREADS}
        best = min(fits, key=lambda spread: fits[spread].leave_one_out_error)
        return ExponentialSurface(fits[best].theta, best)


@dataclass(frozen=True)
class ExponentialSurface(Surface):
    theta: Array  # c, log k, t (d)
    transfer_spread: float

    def predict(self, weights_md: Array) -> Array:
        return _curve(self.theta, weights_md)[0]

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return ExponentialSurface(_fit(self.transfer_spread, weights_nd, loss_n, [self.theta]).theta, self.transfer_spread)


def _fit(transfer_spread: float, weights_nd: Array, loss_n: Array, starts: list[Array]) -> PenalisedFit:
    domains = weights_nd.shape[1]
    mean = np.array([FLOOR_MEAN, 0.0, *np.zeros(domains)])
    spread = np.array([FLOOR_SPREAD, SIZE_SPREAD, *np.full(domains, transfer_spread)])
    return penalised_fit(lambda theta: _curve(theta, weights_nd), loss_n, Prior(mean, spread), starts)


def _linear_start(weights_nd: Array, loss_n: Array, floor: float) -> Array:
    log_excess_n = np.log(loss_n - floor)
    centre_d, log_size = weights_nd.mean(axis=0), log_excess_n.mean()
    centred_nd = weights_nd - centre_d
    penalised = centred_nd.T @ centred_nd + START_PENALTY * np.eye(len(centre_d))
    transfer_d = np.linalg.solve(penalised, centred_nd.T @ (log_excess_n - log_size))
    return np.array([floor, log_size - centre_d @ transfer_d, *transfer_d])


def _curve(theta: Array, weights_nd: Array) -> tuple[Array, Array]:
    """The loss (n) and its derivatives by theta (n, 2 + d). Clipped where the exponential would overflow."""
    excess_n = np.exp(np.clip(theta[1] + weights_nd @ theta[2:], -50, 20))
    return theta[0] + excess_n, np.column_stack([np.ones(len(excess_n)), excess_n, excess_n[:, None] * weights_nd])
