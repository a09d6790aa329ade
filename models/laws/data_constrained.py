"""L(N, D, U) = E + A N'^-alpha + B D'^-beta, with what N and D are worth when U unique tokens are repeated."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.laws.chinchilla import EXPONENT_BOUNDS, Chinchilla
from models.laws.law import Array, Law, Parameter

WORTH_BOUNDS = (0.0, 1000.0)  # of R_D and R_N: at the upper one, a thousand repetitions are each worth more than a third of new tokens


class DataConstrained(Law):
    """L(N, D, U) = E + A N'^-alpha + B D'^-beta: loss by parameters N, tokens seen D and unique tokens U, seen in D / U epochs.

        D' = U_D + U_D R_D (1 - exp(-(D / U_D - 1) / R_D)),    U_D = min(U, D)
        N' = U_N + U_N R_N (1 - exp(-(N / U_N - 1) / R_N)),    U_N = min(N_opt, N)
        N_opt = G (G U_D)^(beta / alpha),                      G = (alpha A / (beta B))^(1 / (alpha + beta))

    N_opt is the size for which U_D tokens are compute-optimal. After R_D epochs a repeated token has lost most (1 - 1/e) of its worth. Runs without
    repetition (D <= U, N <= N_opt) follow Chinchilla's law.

    Source: arXiv 2305.16264 eq. 5, 6 and appendix A (there R_D*, R_N*), whose coefficients A, B, E, alpha and beta come from a fit to runs without
    repetition, alpha = beta; they can be given (--fix) or fitted together with the others.
    Bounds: E, A, B > 0; 0 < alpha, beta < 3; 0 < R_D, R_N < 1000.
    Starts: those of Chinchilla's law, with R_D and R_N of 5, 15 and 50 each.
    Identifiability: besides Chinchilla's valleys, R_D needs runs of several epochs, the more the larger it is: with D / U - 1 well below R_D only the
    worth of the first repetitions is seen, and R_D runs to its bound as easily as to 50. R_N needs runs larger than N_opt.
    """

    name = "data-constrained"
    inputs = ("N", "D", "U")
    parameters = (
        Parameter("A", "log"),
        Parameter("B", "log"),
        Parameter("E", "log"),
        Parameter("alpha", "logistic", *EXPONENT_BOUNDS),
        Parameter("beta", "logistic", *EXPONENT_BOUNDS),
        Parameter("R_D", "logistic", *WORTH_BOUNDS),
        Parameter("R_N", "logistic", *WORTH_BOUNDS),
    )

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        A, B, E, alpha, beta, R_D, R_N = values
        unique_tokens = np.minimum(inputs["U"], inputs["D"])
        log_G = np.log(alpha * A / (beta * B)) / (alpha + beta)
        log_GU = log_G + np.log(unique_tokens)
        log_optimal = log_G + beta / alpha * log_GU
        is_larger = np.log(inputs["N"]) > log_optimal
        unique_params = np.where(is_larger, np.exp(np.where(is_larger, log_optimal, 0.0)), inputs["N"])

        tokens, tokens_by_R, _ = _worth(inputs["D"], unique_tokens, R_D)
        params, params_by_R, params_by_log_unique = _worth(inputs["N"], unique_params, R_N)
        by_size, by_tokens = params**-alpha, tokens**-beta
        loss = E + A * by_size + B * by_tokens

        slope_N, slope_D = -alpha * A * by_size / params, -beta * B * by_tokens / tokens
        by_log_optimal = slope_N * np.where(is_larger, params_by_log_unique, 0.0)
        by_log_G = by_log_optimal * (1 + beta / alpha)
        columns = (
            by_size + by_log_G / (A * (alpha + beta)),
            by_tokens - by_log_G / (B * (alpha + beta)),
            np.ones_like(loss),
            -A * by_size * np.log(params) + by_log_G * (1 / alpha - log_G) / (alpha + beta) - by_log_optimal * beta / alpha**2 * log_GU,
            -B * by_tokens * np.log(tokens) - by_log_G * (1 / beta + log_G) / (alpha + beta) + by_log_optimal / alpha * log_GU,
            slope_D * tokens_by_R,
            slope_N * params_by_R,
        )
        return np.log(loss), np.stack(columns, axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        chinchilla = Chinchilla().starts(inputs, loss)[:, [1, 2, 0, 3, 4]]
        return np.array([(*start, R_D, R_N) for start, R_D, R_N in product(chinchilla, (5.0, 15.0, 50.0), (5.0, 15.0, 50.0))])


def _worth(seen: Array, unique: Array, R: float) -> tuple[Array, Array, Array]:
    """What `seen` is worth (n) when only `unique` of it is, and its derivatives by R and by log `unique`."""
    repetitions = np.maximum(seen / unique - 1, 0.0)
    left = np.exp(-repetitions / R)
    saturated = -np.expm1(-repetitions / R)
    worth = unique * (1 + R * saturated)
    return worth, unique * (saturated - repetitions / R * left), worth - seen * left
