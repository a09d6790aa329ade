"""From loss to benchmark, and from parameters and tokens through the loss to the benchmark.

Shapes: n rows, b draws.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import expit

from models.laws.chinchilla import Chinchilla
from models.laws.estimator import Estimate, Estimator, Options, Prediction
from models.laws.law import Array, Law, Parameter
from models.laws.parametric import Parametric

LEAST = 1e-9  # of a response's range: where a search leads a law below it, its logarithm goes on along its tangent
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
SCALE = ("N", "D")  # the inputs of the first of two steps


class ExponentialError(Law):
    """error(L) = eps - k exp(-gamma L): the error of a benchmark by the loss L, of accuracy 1 minus that.

    Source: arXiv 2403.08540 eq. 5.
    Bounds: eps, k, gamma > 0.
    Starts: a grid of gamma in units of the losses' range, the rest by linear least squares.
    Identifiability: eps is the error at a loss so high that nothing is known of the task; without runs there it lies in a valley with k and gamma.
    """

    name = "downstream"
    inputs = ("loss",)
    residual = "absolute"
    parameters = (Parameter("eps", "log"), Parameter("k", "log"), Parameter("gamma", "log"))

    def __init__(self, response: str):
        self.response = response

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        eps, k, gamma = values
        falling = np.exp(-gamma * inputs["loss"])
        error, by = eps - k * falling, np.stack([np.ones_like(falling), -falling, k * inputs["loss"] * falling], axis=1)
        return _log(error, by) if self.response == "error" else _log(1 - error, -by)

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        error, L = loss if self.response == "error" else 1 - loss, inputs["loss"]
        found = []
        for gamma in np.array([0.3, 1.0, 2.0, 4.0]) / np.ptp(L):
            design = np.stack([np.ones_like(L), -np.exp(-gamma * (L - L.mean()))], axis=1)
            eps, k = np.linalg.lstsq(design, error)[0]
            if eps > 0 and k > 0:
                found.append((eps, k * np.exp(gamma * L.mean()), gamma))
        return np.array(found or [(max(error.max(), LEAST), LEAST, 1 / np.ptp(L))])


class SigmoidAccuracy(Law):
    """accuracy(L) = b + a / (1 + exp(k (L - L0))), and error(L) = b + a / (1 + exp(-k (L - L0))): between a floor b and a ceiling a + b.

    Source: arXiv 2412.04403 section 3.2 (eq. 3), with k > 0 here for both.
    Bounds: a, k, b > 0; b = 0, as of tasks that can't be guessed, may be given.
    Starts: b and a from the data's range, widened; L0 at quantiles of the loss; a grid of k in units of the losses' range.
    Identifiability: b needs runs at chance, which may be given instead (--fix b=0.25); a + b runs near the ceiling. With neither, a, b, k and L0 lie
    in a valley, and only the range of losses that was seen can be trusted.
    """

    name = "downstream"
    inputs = ("loss",)
    residual = "absolute"
    parameters = (Parameter("a", "log"), Parameter("k", "log"), Parameter("L0"), Parameter("b", "log"))

    def __init__(self, response: str):
        self.response = response
        self.sign = 1.0 if response == "error" else -1.0

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        a, k, L0, b = values
        place = self.sign * (inputs["loss"] - L0)
        height = expit(k * place)
        slope = a * height * (1 - height)
        return _log(b + a * height, np.stack([height, slope * place, -self.sign * k * slope, np.ones_like(height)], axis=1))

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        L, low, span = inputs["loss"], loss.min(), np.ptp(loss)
        grid = product((0.02, 0.1, 0.5), (1.05, 1.5, 3.0), np.quantile(L, QUANTILES), np.array([1.0, 3.0, 8.0]) / max(np.ptp(L), LEAST))
        floors = {below: max(low - below * span, 0.02 * span) for below in (0.02, 0.1, 0.5)}
        return np.array([(span * wider, k, L0, floors[below]) for below, wider, L0, k in grid])


def _log(value: Array, by: Array) -> tuple[Array, Array]:
    """log of a value (n) with its derivatives (n, p), from the value's: below `LEAST` along its tangent there."""
    bounded = np.maximum(value, LEAST)
    return np.log(bounded) + (np.minimum(value, LEAST) - LEAST) / LEAST, by / bounded[:, None]


FORMS = {"exponential": ExponentialError, "sigmoid": SigmoidAccuracy}
USUAL_FORM = {"error": "exponential", "accuracy": "sigmoid"}


class Downstream(Estimator):
    """error(L) = eps - k exp(-gamma L), or accuracy(L) = b + a / (1 + exp(k (L - L0))): a benchmark by the loss L, or by N and D through the loss.

    From a table with `loss` and `error` (exponential) or `accuracy` (sigmoid; `downstream-exponential` and `downstream-sigmoid` choose otherwise).
    Where N and D are mapped too, two steps: the loss by L(N, D) = E + A N^-alpha + B D^-beta, then the benchmark by the loss; both are fitted to the
    same runs, drawn together by the bootstrap, and predictions are made from N and D.

    Source: arXiv 2403.08540 eq. 5 (exponential), arXiv 2412.04403 section 3 (sigmoid, two steps).
    Bounds: eps, k, gamma, a, b > 0; E, A, B, alpha and beta as in Chinchilla's law.
    Starts: those of `ExponentialError` or `SigmoidAccuracy`, and of Chinchilla's law.
    Identifiability: floor and ceiling need runs near them. What is known of the floor, such as the chance level, should be given (--fix b=0.25).
    """

    name = "downstream"

    def __init__(self, mapped: Collection[str], form: str | None = None, delta: float = 1e-3):
        self.response = "accuracy" if "accuracy" in mapped else "error"
        self.law: Law = FORMS[form or USUAL_FORM[self.response]](self.response)
        self.delta = delta
        self.has_two_steps = {"N", "D"} <= set(mapped)
        self.inputs = ("N", "D", "loss") if self.has_two_steps else ("loss",)
        self.coefficients = (*(Chinchilla().names if self.has_two_steps else ()), *self.law.names)
        self.optional_at_point = ("loss",) if self.has_two_steps else ()

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "DownstreamEstimate":
        span = float(np.ptp(columns[self.response])) or 1.0  # so that delta has no unit
        second = Parametric(self.law, self.delta * span)
        first = Parametric(Chinchilla(), self.delta) if self.has_two_steps else None
        estimates = [step.estimate(columns, _of(step, options)) for step in (first, second) if step]
        return DownstreamEstimate.of(estimates[0] if first else None, estimates[-1])


def _of(step: Parametric, options: Options) -> Options:
    """What of the options is the step's."""
    fixed, starts = ({name: value for name, value in given.items() if name in step.coefficients} for given in (options.fixed, options.starts))
    return replace(options, fixed=fixed, starts=starts)


@dataclass(frozen=True, kw_only=True)
class DownstreamEstimate(Estimate):
    first: Estimate | None
    second: Estimate

    @classmethod
    def of(cls, first: Estimate | None, second: Estimate) -> "DownstreamEstimate":
        steps = [step for step in (first, second) if step]
        return cls(
            first=first,
            second=second,
            coefficients={name: value for step in steps for name, value in step.coefficients.items()},
            draws={name: draws for step in steps for name, draws in step.draws.items()},
            objective_name=second.objective_name,
            objective=second.objective,
            metrics={**second.metrics, **({f"loss_{name}": value for name, value in first.metrics.items()} if first else {})},
            warnings=tuple(dict.fromkeys(warning for step in steps for warning in step.warnings)),
        )

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return self.second.predict({"loss": self.first.predict({name: inputs[name] for name in SCALE}) if self.first else inputs["loss"]})

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        if not self.first:
            return self.second.predictions(inputs)
        [loss] = self.first.predictions({name: inputs[name] for name in SCALE})
        [response] = self.second.predictions({"loss": loss.value})
        return replace(response, draws=self._through_both(loss.draws)), loss

    def _through_both(self, loss_b: Array) -> Array:
        """(b): draw i of the second step at draw i of the first."""
        return np.diagonal(self.second.draws_at({"loss": loss_b})) if len(loss_b) else loss_b
