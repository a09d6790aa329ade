"""L(C, M) = E + (a M^eta + b M^-eta) C^-eta."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.laws.law import Array, Law, Parameter


class Overtraining(Law):
    """L(C, M) = E + (a M^eta + b M^-eta) C^-eta: loss by training FLOPs C = 6 N D and tokens per parameter M = D / N.

    Source: arXiv 2403.08540 eq. 4. It is Chinchilla's law with alpha = beta = 2 eta, A = a 6^-eta and B = b 6^-eta, written so that runs of one M
    lie on parallel lines: training longer than is compute-optimal, (b / a)^(1 / (2 eta)) tokens per parameter, moves the line and keeps the slope.
    Bounds: E, a, b > 0; 0 < eta < 1.5.
    Starts: a grid of eta, of the share of E in the loss at the middle of the data, and of the share of a M^eta in the rest.
    Identifiability: a and b need several M, on both sides of the optimum for both to be known; E needs a range of C over which the slope falls.
    """

    name = "overtraining"
    inputs = ("C", "M")
    parameters = (Parameter("E", "log"), Parameter("a", "log"), Parameter("b", "log"), Parameter("eta", "logistic", 0.0, 1.5))

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        E, a, b, eta = values
        log_C, log_M = np.log(inputs["C"]), np.log(inputs["M"])
        more, fewer = np.exp(eta * (log_M - log_C)), np.exp(-eta * (log_M + log_C))
        loss = E + a * more + b * fewer
        by_eta = a * more * (log_M - log_C) - b * fewer * (log_M + log_C)
        return np.log(loss), np.stack([np.ones_like(loss), more, fewer, by_eta], axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        middle_loss, C, M = (np.exp(np.log(x).mean()) for x in (loss, inputs["C"], inputs["M"]))
        grid = product((0.1, 0.3, 0.6, 0.8), (0.2, 0.5, 0.8), (0.08, 0.15, 0.25, 0.4))
        return np.array(
            [
                (
                    share * middle_loss,
                    (1 - share) * split * middle_loss * (C / M) ** eta,
                    (1 - share) * (1 - split) * middle_loss * (C * M) ** eta,
                    eta,
                )
                for share, split, eta in grid
            ]
        )
