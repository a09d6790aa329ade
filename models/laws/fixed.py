"""A law some of whose parameters are given."""

from collections.abc import Mapping

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array, Law


class FixedLaw(Law):
    """`law` as a function of its other parameters. All may be given: then it is a published law to be evaluated."""

    def __init__(self, law: Law, fixed: Mapping[str, float]):
        check_within_bounds(law, fixed, may_vanish=True)
        self.law = law
        self.name, self.inputs, self.response, self.residual = law.name, law.inputs, law.response, law.residual
        self.is_free = np.array([name not in fixed for name in law.names])
        self.parameters = tuple(parameter for parameter in law.parameters if parameter.name not in fixed)
        self._given = np.array([fixed.get(name, np.nan) for name in law.names])

    def all_values(self, values: Array) -> Array:
        """Of all parameters (..., all) from those of the free ones (..., p)."""
        filled = np.broadcast_to(self._given, (*values.shape[:-1], len(self._given))).astype(values.dtype)
        filled[..., self.is_free] = values
        return filled

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.law.log_prediction(self.all_values(values), inputs)

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        log_prediction, jacobian = self.law.log_prediction_and_jacobian(self.all_values(values), inputs)
        return log_prediction, jacobian[:, self.is_free]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        return np.unique(self.law.starts(inputs, loss)[:, self.is_free], axis=0)


def check_within_bounds(law: Law, values: Mapping[str, float], may_vanish: bool = False) -> None:
    """may_vanish: a positive coefficient may also be 0, which a search never reaches: it takes its term away.

    Raises:
        StudyError: when a value is not inside the (open) bounds of its parameter.
    """
    for parameter in law.parameters:
        low, high = (0.0, np.inf) if parameter.transform == "log" else (parameter.low, parameter.high)
        value = values.get(parameter.name)
        vanishes = may_vanish and parameter.transform == "log" and value == 0
        if value is not None and not (low < value < high or vanishes):
            raise StudyError(
                f"{parameter.name} = {value:g} is outside of its bounds in the law '{law.name}': it must be between {low:g} and {high:g}."
            )
