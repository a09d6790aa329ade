"""One Chinchilla law per mixture, partially pooled: what few runs can't tell about one mixture, all mixtures and weak priors do."""

from collections.abc import Mapping

import numpy as np

from models.laws.law import Array, Law, Parameter

SHARED = 5
DEVIATIONS = ("level", "E", "A", "B", "alpha", "beta")


class PooledChinchilla(Law):
    """L_m(N, D) = y0 exp(level_m) (E exp(e_m) + P exp(a_m) (N/N0)^-alpha_m + Q exp(b_m) (D/D0)^-beta_m), for mixtures m = 0, 1, ...

    Source: arXiv 2203.15556 eq. 10 for each mixture (E_m = y0 E exp(level_m + e_m), A_m = y0 P exp(level_m + a_m) N0^alpha, B_m alike), with
    coefficients that are partially pooled (Gelman and Hill 2007, chapter 12): what all mixtures share, times what is a mixture's own, also for
    alpha_m = alpha exp(deviation). Five free coefficients per mixture can't be told from a dozen runs. (N0, D0, y0) are geometric means of the
    data, so that the priors have no unit.
    Bounds: E, P, Q, alpha, beta > 0.
    Priors, normal in the logarithm: E .35 (x/ 2.0), P .25 (x/ 2.2), Q .35 (x/ 2.2), which let E be .1 to 1 of the losses seen; alpha and beta
    .35 (x/ 1.5), 5 to 95% being .18 to .68, wider than what has been published (.28 to .37 in arXiv 2203.15556, 2305.16264 and 2404.10102).
    Deviations of a mixture: normal around 0 with `deviation_sd`.
    Starts: the priors' middle.
    Identifiability: a direction that the data don't decide is decided by its prior; draws that perturb the priors too (`extrapolation.py`) are as
    wide there as the prior is.
    """

    name = "pooled-chinchilla"
    inputs = ("N", "D", "mixture")

    def __init__(self, num_mixtures: int, num_params_0: float, tokens_0: float, loss_0: float, deviation_sd: float):
        self.num_mixtures = num_mixtures
        self.num_params_0, self.tokens_0, self.loss_0 = num_params_0, tokens_0, loss_0
        shared = (
            Parameter("E", "log", prior=(np.log(0.35), 0.7)),
            Parameter("P", "log", prior=(np.log(0.25), 0.8)),
            Parameter("Q", "log", prior=(np.log(0.35), 0.8)),
            Parameter("alpha", "log", prior=(np.log(0.35), 0.4)),
            Parameter("beta", "log", prior=(np.log(0.35), 0.4)),
        )
        own = tuple(Parameter(f"{name}[{m}]", prior=(0.0, deviation_sd)) for name in DEVIATIONS for m in range(num_mixtures))
        self.parameters = shared + own

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        terms, level = self._terms_and_level(values, inputs)
        return np.log(self.loss_0 * terms.sum(0)) + level

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        terms, level = self._terms_and_level(values, inputs)
        total = terms.sum(0)
        shares = terms / total
        mixture = inputs["mixture"]
        by_exponents = [-share * exponent * log_x for share, (exponent, log_x) in zip(shares[1:], self._exponents(values, inputs), strict=True)]
        by_logarithms = np.stack([*shares, *by_exponents], axis=1)
        is_own = mixture[:, None] == np.arange(self.num_mixtures)
        by_own = [is_own, *(is_own * column[:, None] for column in by_logarithms.T)]
        return np.log(self.loss_0 * total) + level, np.concatenate([by_logarithms / values[:SHARED], *by_own], axis=1)

    def _terms_and_level(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """The three terms (3, n) relative to loss_0, without the mixtures' levels; and the levels (n)."""
        level, *deviations = values[SHARED:].reshape(len(DEVIATIONS), self.num_mixtures)[:, inputs["mixture"]]
        (alpha, log_size), (beta, log_tokens) = self._exponents(values, inputs)
        by_scale = np.stack([np.zeros_like(log_size), -alpha * log_size, -beta * log_tokens])
        return values[:3, None] * np.exp(np.stack(deviations[:3]) + by_scale), level

    def _exponents(self, values: Array, inputs: Mapping[str, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """alpha (n) with log N/N0 (n), beta with log D/D0."""
        own = values[SHARED:].reshape(len(DEVIATIONS), self.num_mixtures)[-2:, inputs["mixture"]]
        alpha, beta = values[3:SHARED, None] * np.exp(own)
        return (alpha, np.log(inputs["N"] / self.num_params_0)), (beta, np.log(inputs["D"] / self.tokens_0))

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        del inputs, loss
        return np.array([[0.35, 0.25, 0.35, 0.35, 0.35] + [0.0] * (len(DEVIATIONS) * self.num_mixtures)])

    def coefficients(self, values: Array, mixture: int) -> dict[str, Array]:
        """E, A, B, alpha and beta of one mixture in the units of the data, from parameter values (..., p)."""
        E, P, Q, alpha, beta = np.moveaxis(values[..., :SHARED], -1, 0)
        deviations = values[..., SHARED:].reshape(*values.shape[:-1], len(DEVIATIONS), self.num_mixtures)
        level, e, a, b, *own_exponents = np.moveaxis(deviations[..., mixture], -1, 0)
        alpha, beta = alpha * np.exp(own_exponents[0]), beta * np.exp(own_exponents[1])
        return {
            "E": self.loss_0 * E * np.exp(level + e),
            "A": self.loss_0 * P * np.exp(level + a) * self.num_params_0**alpha,
            "B": self.loss_0 * Q * np.exp(level + b) * self.tokens_0**beta,
            "alpha": alpha,
            "beta": beta,
        }
