"""L(N, D) = E + A N^-alpha + B D^-beta."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.laws.law import Array, Law, Parameter

EXPONENT_BOUNDS = (0.0, 3.0)


class Chinchilla(Law):
    """L(N, D) = E + A N^-alpha + B D^-beta: loss by parameters and tokens seen once.

    Source: arXiv 2203.15556 eq. 10; objective (Huber, delta 1e-3, of log residuals), log-sum-exp form and many starts as in its appendix D.3 and
    in arXiv 2404.10102, whose fit it reproduces.
    Bounds: E, A, B > 0; 0 < alpha, beta < 3.
    Starts: a grid of exponents and of the shares of E and A N^-alpha in the loss at the middle of the data.
    Identifiability: A with alpha, B with beta, and E with both lie in a flat valley; alpha needs at least three sizes, beta three budgets that
    are not in a fixed ratio to the sizes, E a range of compute over which the slope visibly falls.
    """

    name = "chinchilla"
    inputs = ("N", "D")
    parameters = (
        Parameter("E", "log"),
        Parameter("A", "log"),
        Parameter("B", "log"),
        Parameter("alpha", "logistic", *EXPONENT_BOUNDS),
        Parameter("beta", "logistic", *EXPONENT_BOUNDS),
    )

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        E, A, B, alpha, beta = values
        return np.log(E + A * inputs["N"] ** -alpha + B * inputs["D"] ** -beta)

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        E, A, B, alpha, beta = values
        log_num_params, log_tokens = np.log(inputs["N"]), np.log(inputs["D"])
        by_size, by_tokens = np.exp(-alpha * log_num_params), np.exp(-beta * log_tokens)
        loss = E + A * by_size + B * by_tokens
        columns = (np.ones_like(loss), by_size, by_tokens, -A * by_size * log_num_params, -B * by_tokens * log_tokens)
        return np.log(loss), np.stack(columns, axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        middle_loss, middle_size, middle_tokens = (np.exp(np.log(x).mean()) for x in (loss, inputs["N"], inputs["D"]))
        grid = product((0.1, 0.3, 0.6, 0.8), (0.2, 0.5, 0.8), (0.15, 0.3, 0.45, 0.7), (0.15, 0.3, 0.45, 0.7))
        return np.array(
            [
                (
                    share * middle_loss,
                    (1 - share) * split * middle_loss * middle_size**alpha,
                    (1 - share) * (1 - split) * middle_loss * middle_tokens**beta,
                    alpha,
                    beta,
                )
                for share, split, alpha, beta in grid
            ]
        )
