"""L(x) = E + A x^-alpha, of one input."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.laws.law import Array, Law, Parameter


class Power(Law):
    """L(x) = E + A x^-alpha: loss by parameters, tokens or compute alone.

    Source: arXiv 1712.00409 section 3 (there with the sign of alpha inside).
    Bounds: E, A > 0; 0 < alpha < 3.
    Starts: a grid of exponents and of the share of E in the loss at the middle of the data.
    Identifiability: E and alpha lie in a flat valley until the curve visibly flattens; three values of x are the least.
    """

    name = "power"
    parameters = (Parameter("E", "log"), Parameter("A", "log"), Parameter("alpha", "logistic", 0.0, 3.0))

    def __init__(self, of: str):
        self.inputs = (of,)

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        E, A, alpha = values
        return np.log(E + A * inputs[self.inputs[0]] ** -alpha)

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        E, A, alpha = values
        log_x = np.log(inputs[self.inputs[0]])
        by_x = np.exp(-alpha * log_x)
        loss = E + A * by_x
        return np.log(loss), np.stack([np.ones_like(loss), by_x, -A * by_x * log_x], axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        middle_loss, middle_x = (np.exp(np.log(x).mean()) for x in (loss, inputs[self.inputs[0]]))
        grid = product((0.05, 0.2, 0.4, 0.6, 0.8, 0.95), (0.03, 0.1, 0.2, 0.35, 0.5, 0.8))
        return np.array([(share * middle_loss, (1 - share) * middle_loss * middle_x**alpha, alpha) for share, alpha in grid])
