"""Loss by effective data: every domain is worth some tokens of the loss's own kind, the less per token the more there are."""

from dataclasses import dataclass

import numpy as np

from models.laws.law import Array
from models.mixture_laws.penalised_fit import PenalisedFit, Prior, penalised_fit
from models.mixture_laws.surface import Surface, SurfaceLaw

SHAPE_MEAN = (0.0, 0.0, 0.0, np.log(0.6))  # of c, log a, gamma, log beta, for a loss with mean 0 and standard deviation 1
SHAPE_SPREAD = (5.0, 2.0, np.nan, 0.4)
GAMMA_SPREADS = (0.1, 1.0)  # a logarithm; anything from a straight line (-1) to a power law with a floor (1)
WORTH_SPREAD = 2.0  # of log s_j: 95% of domains are worth e^-4 to e^4 of the typical one
START_SLOPE = 3.0  # of log s_j by the correlation of sqrt(r_j) with the loss, for the second start


class EffectiveData(SurfaceLaw):
    """L_i(r) = c_i + a_i (h_i^-gamma_i - 1) / gamma_i, with effective data h_i = sum_j s_ij r_j^beta_i.

    Source: the power law of loss by data (arXiv 2203.15556) with data counted by their transfer to the loss, s_ij (arXiv 2102.01293: what is
    transferred is a power of the data at hand; arXiv 2507.09404 has a sum of powers of weights in the same place, inverted). In Box and Cox' form
    gamma = 0 is the logarithm, gamma = -1 with beta = 1 the linear law, gamma > 0 a power law with floor c - a / gamma.
    Bounds: s, a, beta > 0 (their logarithms are fitted): a domain harms a loss only by taking another's place.
    Initialisation: equal worths, and worths by each domain's correlation with the loss; the better minimum stays.
    Priors: log s_j ~ N(0, 2); log beta ~ N(log .6, .4), as exponents of transfer (.2 to .5 in 2102.01293) and no diminishing (1) both lie within
    about two standard deviations; gamma ~ N(0, .1), or N(0, 1) where the runs are likelier under it: at one budget, shares spread the tokens over a
    few decades, on which a power law with an exponent of data (.05 to .35) can hardly be told from a logarithm.
    Identifiability: a, gamma and the size of s trade off along a valley that hardly touches the order of mixtures; the prior closes it. A domain
    that was never used keeps the typical worth, s_j = 1.
    """

    name = "effective-data"

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        indifferent = np.array([*SHAPE_MEAN, *np.zeros(weights_nd.shape[1])])
        by_correlation = indifferent.copy()
        by_correlation[4:] = -START_SLOPE * _correlations(np.sqrt(weights_nd), loss_n)
        fits = {spread: _fit(spread, weights_nd, loss_n, [indifferent, by_correlation]) for spread in GAMMA_SPREADS}
        best = max(fits, key=lambda spread: fits[spread].log_evidence)
        return EffectiveDataSurface(fits[best].theta, best)


@dataclass(frozen=True)
class EffectiveDataSurface(Surface):
    theta: Array  # c, log a, gamma, log beta, log s (d)
    gamma_spread: float

    def predict(self, weights_md: Array) -> Array:
        return _curve(self.theta, weights_md)[0]

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return EffectiveDataSurface(_fit(self.gamma_spread, weights_nd, loss_n, [self.theta]).theta, self.gamma_spread)


def _fit(gamma_spread: float, weights_nd: Array, loss_n: Array, starts: list[Array]) -> PenalisedFit:
    domains = weights_nd.shape[1]
    spread = np.array([*SHAPE_SPREAD, *np.full(domains, WORTH_SPREAD)])
    spread[2] = gamma_spread
    prior = Prior(np.array([*SHAPE_MEAN, *np.zeros(domains)]), spread)
    return penalised_fit(lambda theta: _curve(theta, weights_nd), loss_n, prior, starts)


def _curve(theta: Array, weights_nd: Array) -> tuple[Array, Array]:
    """The loss (n) and its derivatives by theta (n, 4 + d). Clipped where exponentials would overflow."""
    c, log_a, gamma, log_beta = theta[:4]
    a, beta = np.exp(np.clip((log_a, log_beta), -20, 5))
    gamma = gamma if abs(gamma) > 1e-6 else 1e-6
    log_weights_nd = np.log(np.where(weights_nd > 0, weights_nd, 1.0))
    effective_nd = np.exp(np.clip(beta * log_weights_nd + theta[4:], -50, 50)) * (weights_nd > 0)
    log_data_n = np.log(effective_nd.sum(axis=1))
    exponent_n = np.clip(-gamma * log_data_n, -50, 50)
    decline_n = a * np.expm1(exponent_n) / gamma
    slope_n = -a * np.exp(exponent_n - log_data_n)  # by h
    near_logarithm_n = np.abs(exponent_n) < 1e-4
    by_gamma_n = np.where(near_logarithm_n, a * log_data_n**2 / 2, (-a * np.exp(exponent_n) * log_data_n - decline_n) / gamma)
    by_log_beta_n = slope_n * beta * (effective_nd * log_weights_nd).sum(axis=1)
    return c + decline_n, np.column_stack([np.ones(len(log_data_n)), decline_n, by_gamma_n, by_log_beta_n, slope_n[:, None] * effective_nd])


def _correlations(columns_nd: Array, loss_n: Array) -> Array:
    """(d); 0 for a column that does not vary."""
    centred_nd, centred_n = columns_nd - columns_nd.mean(axis=0), loss_n - loss_n.mean()
    size_d = np.linalg.norm(centred_nd, axis=0)
    return np.where(size_d > 1e-12, centred_n @ centred_nd / np.maximum(size_d, 1e-12) / np.linalg.norm(centred_n), 0.0)
