"""A domain's training and test loss inside pretraining, as its text is repeated: the equation of `Overfitting`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from models.laws.law import Array, Law, Parameter

TRAIN = ("A_train", "omega", "b_train_g", "b_train_s", "kappa0", "kappa1", "kappa2", "kappa3")
GAP = ("alpha1", "alpha2", "alpha3", "b_gap_g", "b_gap_s")


@dataclass(frozen=True)
class Typical:
    """In the middle of the data, in the units that are fitted: they give the priors their units."""

    loss: float
    T: float
    delta: float  # the largest


class Repetition(Law):
    """train(T, delta) = A_train exp(omega delta) T^b_train(delta) + kappa0 - kappa1 log(delta + kappa2) - kappa3 delta,
    gap(T, delta) = alpha1 delta^alpha2 exp(alpha3 delta) T^b_gap(delta), with b(delta) = delta b_s + (1 - delta) b_g; test = train + gap.

    `is_test` says which of the two losses a row holds.
    """

    name = "overfitting"
    inputs = ("T", "delta", "is_test")

    def __init__(self, typical: Typical):
        loss, log_T, most = typical.loss, np.log(typical.T), typical.delta
        self.typical = typical
        self.parameters = (
            Parameter("A_train", "log", prior=(np.log(0.5 * loss) + 0.3 * log_T, 1.0 + 0.3 * abs(log_T))),
            Parameter("omega", prior=(0.0, (1 + abs(log_T)) / most)),
            Parameter("b_train_g", "logistic", -2.0, 0.0, prior=(1.7, 1.0)),
            Parameter("b_train_s", prior=(0.0, 1 / most)),
            Parameter("kappa0", prior=(0.5 * loss, loss)),
            Parameter("kappa1", "log", prior=(np.log(0.05 * loss), 1.5)),
            Parameter("kappa2", "log", prior=(np.log(0.05 * most), 2.0)),
            Parameter("kappa3", prior=(0.0, loss / most)),
            Parameter("alpha1", "log", prior=(np.log(0.05 * loss / most) - 0.5 * log_T, 2.0 + 0.5 * abs(log_T))),
            Parameter("alpha2", "log", prior=(0.0, 0.7)),
            Parameter("alpha3", prior=(0.0, (2 + abs(log_T)) / most)),
            Parameter("b_gap_g", prior=(0.5, 0.5)),
            Parameter("b_gap_s", prior=(0.5, 1 / most)),
        )

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        train, gap = self.train_and_gap(values, inputs["T"], inputs["delta"])
        return np.log(train + inputs["is_test"] * gap)

    def train_and_gap(self, values: Array, T: Array, delta: Array) -> tuple[Array, Array]:
        """Both (n)."""
        A_train, omega, train_g, train_s, kappa0, kappa1, kappa2, kappa3, alpha1, alpha2, alpha3, gap_g, gap_s = values
        log_T = np.log(T)
        floor = kappa0 - kappa1 * np.log(delta + kappa2) - kappa3 * delta
        train = A_train * np.exp(omega * delta + (delta * train_s + (1 - delta) * train_g) * log_T) + floor
        log_delta = np.log(np.where(delta > 0, delta, 1.0))
        gap = alpha1 * np.exp(alpha2 * log_delta + alpha3 * delta + (delta * gap_s + (1 - delta) * gap_g) * log_T)
        return train, np.where(delta > 0, gap, 0.0)

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        T, delta, is_test = inputs["T"], inputs["delta"], inputs["is_test"]
        train, gap = self.train_and_gap(values, T, delta)
        A_train, omega, train_g, train_s, _, kappa1, kappa2, _, alpha1, *_ = values
        log_T, log_delta = np.log(T), np.log(np.where(delta > 0, delta, 1.0))
        falling = np.exp(omega * delta + (delta * train_s + (1 - delta) * train_g) * log_T)
        of_falling = (falling, *(A_train * falling * factor for factor in (delta, (1 - delta) * log_T, delta * log_T)))
        of_floor = (np.ones_like(delta), -np.log(delta + kappa2), -kappa1 / (delta + kappa2), -delta)
        of_gap = (is_test * gap * factor for factor in (1 / alpha1, log_delta, delta, (1 - delta) * log_T, delta * log_T))
        loss = train + is_test * gap
        return np.log(loss), np.stack([*of_falling, *of_floor, *of_gap], axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        at, most, log_T = self.typical.loss, self.typical.delta, np.log(self.typical.T)
        grid = product((-0.15, -0.4), (0.2, 0.6), (0.05, 0.2), (0.02, 0.1), (0.3, 0.7))
        return np.array(
            [
                (
                    *(share * at * np.exp(-b * log_T), 0.0, b, b, (1 - share) * at, slope * at, 0.05 * most, 0.0),
                    *(gap * at / most * np.exp(-b_gap * log_T), 1.0, 0.0, b_gap, b_gap),
                )
                for b, share, slope, gap, b_gap in grid
            ]
        )

    def in_units(self, values: Array, unit: float) -> Array:
        """Parameter values (..., p) for T in the table's unit, from those fitted with T in `unit` of it."""
        values = values.copy()
        log_unit = np.log(unit)
        place = {name: index for index, name in enumerate((*TRAIN, *GAP))}
        for factor, slope, general, special in (("A_train", "omega", "b_train_g", "b_train_s"), ("alpha1", "alpha3", "b_gap_g", "b_gap_s")):
            b_g, b_s = values[..., place[general]], values[..., place[special]]
            values[..., place[factor]] *= np.exp(-b_g * log_unit)
            values[..., place[slope]] -= (b_s - b_g) * log_unit
        return values
