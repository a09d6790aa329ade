"""L(r) = c + k exp(sum_j t_j r_j), of one loss and the mixture's weights r."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.frozen import StudyError
from models.laws.composition import BROKEN, MixtureEstimate, normalised, off_one, sums_to_one
from models.laws.estimator import Estimate, Estimator, Options
from models.laws.law import Array, Law, Parameter
from models.laws.parametric import Parametric, ParametricEstimate

DELTA = 0.02  # the authors' (law.py of their code): five to thirty runs that scatter by half a percent must not count by their medians
FLOORS = (0.2, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99, 0.998)  # of the lowest loss: where c may be


class MixtureExp(Estimator):
    """L(r) = c + k exp(sum_j t_j r_j): one loss by the weights r of the mixture; t_w for the weight in column `w`.

    Source: arXiv 2403.16952 eq. 6 (there L_i, c_i, k_i, t_ij for the loss i).

    Its exp(k x + b) + c for two domains is this law of the one weight x, with t_x = their k and k = exp(their b). Huber as in the authors' code, but
    on log residuals, so that the unit of the loss is no matter.
    Bounds: c, k > 0; t free. k > 0 says that the loss is convex: each further share of a domain helps less. A loss that is concave has no such law.
    Starts: for each of eight floors c below the lowest loss, the line through log(L - c).
    Identifiability: where the weights sum to a constant s, k and the mean of t can't be told apart: adding a to every t is multiplying k by
    exp(a s). Then sum_j t_j = 0 is taken, so that k is the loss above c at equal weights and t are comparable between losses and tables; unless
    k or a t is given (--fix), which decides it. c and the size of t lie in a flat valley when the runs see little of the curve.
    """

    name = "mixture-exp"
    response = "loss"

    def __init__(self, weight_columns: Sequence[str], delta: float = DELTA):
        self.inputs = tuple(sorted(weight_columns))
        self.law = MixtureExpLaw(self.inputs)
        self.coefficients = self.law.names
        self.parametric = Parametric(self.law, delta)

    def unusable(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {BROKEN: off_one(columns, self.inputs)} if sums_to_one(columns, self.inputs) else {}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> Estimate:
        of_all_domains = sums_to_one(columns, self.inputs)
        columns = normalised(columns, self.inputs) if of_all_domains else columns
        if len({tuple(row) for row in zip(*(columns[name] for name in self.inputs), strict=True)}) < 3:
            raise StudyError(
                f"The {len(columns[self.response])} rows hold fewer than three different mixtures of {', '.join(self.inputs)}: "
                "a curve needs at least three."
            )
        total = self._constant_total(columns)
        is_ours_to_choose = total is not None and not {"k", *self.law.slopes} & set(options.fixed)
        if total is None or not is_ours_to_choose:
            fitted = self.parametric.estimate(columns, options)
        else:
            fitted = self._canonical(self.parametric.estimate(columns, replace(options, fixed={**options.fixed, "k": 1.0})), total)
        return MixtureEstimate(**vars(fitted), weight_columns=self.inputs) if of_all_domains else fitted

    def _constant_total(self, columns: Mapping[str, Array]) -> float | None:
        """What the weights of every row sum to, when that is the same."""
        sums = np.sum([columns[name] for name in self.inputs], axis=0)
        return float(sums.mean()) if len(self.inputs) > 1 and np.ptp(sums) <= 1e-9 * np.abs(sums).max() else None

    def _canonical(self, fitted: ParametricEstimate, total: float) -> ParametricEstimate:
        """The same law with sum_j t_j = 0."""

        def shifted(values: Array) -> Array:
            c, k, slopes = values[..., :1], values[..., 1:2], values[..., 2:]
            mean = slopes.mean(axis=-1, keepdims=True)
            return np.concatenate([c, k * np.exp(mean * total), slopes - mean], axis=-1)

        values, draws = shifted(fitted.values), shifted(fitted.values_b)
        return replace(
            fitted,
            values=values,
            values_b=draws,
            coefficients=dict(zip(self.coefficients, map(float, values), strict=True)),
            draws=dict(zip(self.coefficients, draws.T, strict=True)),
        )


class MixtureExpLaw(Law):
    """The equation of `MixtureExp`, with its redundant parameter."""

    name = MixtureExp.name

    def __init__(self, weight_columns: tuple[str, ...]):
        self.inputs = weight_columns
        self.slopes = tuple(f"t_{name}" for name in weight_columns)
        self.parameters = (Parameter("c", "log"), Parameter("k", "log"), *map(Parameter, self.slopes))

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return np.log(values[0] + values[1] * np.exp(self._weights(inputs) @ values[2:]))

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        weights_nd = self._weights(inputs)
        growth = np.exp(weights_nd @ values[2:])
        loss = values[0] + values[1] * growth
        columns = np.column_stack([np.ones_like(loss), growth, (values[1] * growth)[:, None] * weights_nd])
        return np.log(loss), columns / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        """Each line with its own k, and with k = 1 where the slopes can take it up."""
        weights_nd = self._weights(inputs)
        design = np.column_stack([np.ones(len(loss)), weights_nd])
        total = weights_nd.sum(axis=1).mean()
        found = []
        for floor in FLOORS:
            c = floor * loss.min()
            intercept, *slopes = np.linalg.lstsq(design, np.log(loss - c))[0]
            found += [(c, np.exp(intercept), *slopes), (c, 1.0, *(np.array(slopes) + intercept / total))]
        return np.array(found)

    def _weights(self, inputs: Mapping[str, Array]) -> Array:
        """(n, d)."""
        return np.column_stack([inputs[name] for name in self.inputs])
