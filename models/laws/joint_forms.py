"""Loss by mixture, size and tokens: the additive form, and the one in which they interact.

Shapes: n rows, k domains, p parameters.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from models.laws.law import Array, Law, Parameter

Form = Literal["additive", "joint"]
ONE = {"N": 1.0, "D": 1.0, "loss": 1.0}
EXPONENT_PRIOR = (np.log(0.35), 0.4)  # as in pooled.py: wider than what has been published


class JointForm(Law):
    """L = E + 1 / sum_i C_i h_i^gamma_i + A^h / N^alpha + B^h / D^beta; A^h and B^h are constants A and B in the additive form, and
    (sum_i CA_i h_i)^gammaA, (sum_i CB_i h_i)^gammaB in the joint one. `Joint` says the rest.

    `typical` is N, D and loss in the middle of the data, in the units that are fitted: they give the priors their units.
    """

    name = "joint"

    def __init__(self, weight_columns: tuple[str, ...], form: Form, typical: Mapping[str, float] = ONE):
        self.weight_columns, self.form, self.typical = weight_columns, form, typical
        loss_0 = typical["loss"]
        self.inputs = ("N", "D", *weight_columns)
        mixture = (
            *(Parameter(f"C_{name}", "log", prior=(np.log(3 / loss_0), 1.5)) for name in weight_columns),
            *(Parameter(f"gamma_{name}", "log", prior=(np.log(0.5), 1.0)) for name in weight_columns),
        )
        self.parameters = (
            Parameter("E", "log", prior=(np.log(0.35 * loss_0), 1.0)),
            Parameter("alpha", "log", prior=EXPONENT_PRIOR),
            Parameter("beta", "log", prior=EXPONENT_PRIOR),
            *mixture,
            *(parameter for term, name in (("A", "N"), ("B", "D")) for parameter in self._coefficient(term, np.log(typical[name]))),
        )

    def _coefficient(self, term: str, log_typical: float) -> tuple[Parameter, ...]:
        """Of the term of N or D: a quarter of the loss, in the middle of the data."""
        exponent, sd = np.exp(EXPONENT_PRIOR[0]), EXPONENT_PRIOR[1]
        prior = (np.log(0.25 * self.typical["loss"]) + exponent * log_typical, 1.5 + exponent * sd * abs(log_typical))
        if self.form == "additive":
            return (Parameter(term, "log", prior=prior),)
        own = (Parameter(f"C{term}_{name}", "log", prior=prior) for name in self.weight_columns)
        return (*own, Parameter(f"gamma{term}", "log", prior=(0.0, 0.5)))

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        E, alpha, beta = values[:3]
        weights_nk = np.column_stack([inputs[name] for name in self.weight_columns])
        num_domains = weights_nk.shape[1]
        C, gamma, scale = np.split(values[3:], [num_domains, 2 * num_domains])
        powers_nk = weights_nk**gamma
        mixed = 1 / (powers_nk @ C)
        of_weights = [-(mixed**2)[:, None] * powers_nk, -(mixed**2)[:, None] * C * powers_nk * np.log(np.where(weights_nk > 0, weights_nk, 1.0))]
        loss, of_exponents, of_scale = E + mixed, [], []
        for exponent, name, coefficient in zip((alpha, beta), "ND", np.split(scale, 2), strict=True):
            by_scale = np.exp(-exponent * np.log(inputs[name]))
            factor, of_coefficient = self._factor(coefficient, weights_nk)
            loss = loss + factor * by_scale
            of_exponents.append(-factor * by_scale * np.log(inputs[name]))
            of_scale.append(of_coefficient * by_scale[:, None])
        columns = [np.ones((len(loss), 1)), np.column_stack(of_exponents), *of_weights, *of_scale]
        return np.log(loss), np.concatenate(columns, axis=1) / loss[:, None]

    def _factor(self, coefficient: Array, weights_nk: Array) -> tuple[Array, Array]:
        """A^h or B^h (n) and its derivatives by its own parameters."""
        if self.form == "additive":
            ones = np.ones(len(weights_nk))
            return coefficient[0] * ones, ones[:, None]
        own, gamma = coefficient[:-1], coefficient[-1]
        mean = weights_nk @ own
        factor = mean**gamma
        return factor, np.column_stack([(gamma * factor / mean)[:, None] * weights_nk, factor * np.log(mean)])

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        """Shares of E, of the mixture and of the two scales in a typical loss; exponents; each domain alike, or one domain above the others."""
        num_domains = len(self.weight_columns)
        log_size, log_tokens = np.log(inputs["N"]).mean(), np.log(inputs["D"]).mean()
        profiles = np.vstack([np.ones(num_domains), 0.5 + 2 * np.eye(num_domains)])
        found = []
        for floor, mixed, size in ((0.4, 0.2, 0.2), (0.2, 0.4, 0.2), (0.6, 0.1, 0.15), (0.2, 0.2, 0.3)):
            for exponent in (0.25, 0.45):
                for gamma in (0.3, 1.0):
                    for profile in profiles:
                        C = profile * num_domains**gamma / profile.sum() / (mixed * self.typical["loss"])
                        A = size * self.typical["loss"] * np.exp(exponent * log_size)
                        B = (1 - floor - mixed - size) * self.typical["loss"] * np.exp(exponent * log_tokens)
                        scale = (A, B) if self.form == "additive" else (*(A,) * num_domains, 1.0, *(B,) * num_domains, 1.0)
                        found.append((floor * self.typical["loss"], exponent, exponent, *C, *(gamma,) * num_domains, *scale))
        return np.array(found)

    def in_units(self, values: Array, units: Mapping[str, float]) -> Array:
        """Parameter values (..., p) for N and D in the table's units, from those fitted with N and D in `units` of them."""
        values = values.copy()
        start, num_domains = 3 + 2 * len(self.weight_columns), len(self.weight_columns)
        for term, (exponent, name) in enumerate(((1, "N"), (2, "D"))):
            log_factor = values[..., exponent, None] * np.log(units[name])
            if self.form == "additive":
                values[..., start + term : start + term + 1] *= np.exp(log_factor)
            else:
                own = start + term * (num_domains + 1)
                values[..., own : own + num_domains] *= np.exp(log_factor / values[..., own + num_domains, None])
        return values

    def interacting(self, values: Array) -> tuple["JointForm", Array]:
        """The joint form, and where it is the same function as this additive one at `values` (..., p)."""
        num_domains = len(self.weight_columns)
        shared, A, B = np.split(values, [-2, -1], axis=-1)
        one = np.ones_like(A)
        same = np.concatenate([shared, *[A] * num_domains, one, *[B] * num_domains, one], axis=-1)
        return JointForm(self.weight_columns, "joint", self.typical), same
