"""Regressions of one loss on the mixture, as laws of `assay fit`."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.composition import BROKEN, normalised, off_one
from models.laws.estimator import Estimate, Estimator, Options, Prediction
from models.laws.law import Array
from models.laws.metrics import metrics
from models.mixture_laws.law import FittedMixtureLaw, MixtureLaw, MixtureRuns


class MixtureRegression(Estimator):
    """Equation, source, bounds, initialisation and identifiability are those of the mixture law. It has no coefficients that could be given or told;
    its draws are of predictions (`FittedMixtureLaw.draws`)."""

    response = "loss"
    coefficients = ()

    def __init__(self, law: MixtureLaw, weight_columns: Sequence[str]):
        self.law, self.name, self.inputs = law, f"mixture-{law.name}", tuple(sorted(weight_columns))

    @property
    def documentation(self) -> str:
        return inspect.getdoc(self.law) or ""

    def unusable(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {BROKEN: off_one(columns, self.inputs)}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "RegressionEstimate":
        loss = columns[self.response]
        if np.ptp(loss) == 0:
            raise StudyError(f"All {len(loss)} losses are equal ({loss[0]:g}): there is nothing to fit a law to.")
        runs = MixtureRuns(self.inputs, (self.response,), _weights(columns, self.inputs), loss[:, None])
        fitted = self.law.fit(runs, np.ones(1))
        predicted = fitted.predict(runs.weights_nd)
        return RegressionEstimate(
            fitted=fitted,
            inputs=self.inputs,
            options=options,
            coefficients={},
            draws={},
            objective_name="mean squared residual",
            objective=float(np.mean((predicted - loss) ** 2)),
            metrics=metrics(loss, predicted),
            warnings=(),
        )


@dataclass(frozen=True, kw_only=True)
class RegressionEstimate(Estimate):
    fitted: FittedMixtureLaw
    inputs: tuple[str, ...]
    options: Options

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return self.fitted.predict(_weights(inputs, self.inputs))

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        return (self.prediction("loss", inputs),)

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        weights_nd = _weights(inputs, self.inputs)
        return self.fitted.draws(weights_nd, self.options.bootstrap, self.options.seed) if self.options.bootstrap else np.empty((0, len(weights_nd)))


def _weights(columns: Mapping[str, Array], names: tuple[str, ...]) -> Array:
    """(n, d), rows summing to one."""
    columns = normalised(columns, names)
    return np.column_stack([columns[name] for name in names])
