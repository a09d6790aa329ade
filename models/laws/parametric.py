"""Any law on the fitting core, as an estimator: given coefficients, given starts, bootstrap, what the fit can't tell.

Shapes: n rows, p free parameters, b draws.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.laws.core import Fit, Problem, bootstrap, check_fittable, fit
from models.laws.derived import sources
from models.laws.diverged import DIVERGED, diverged
from models.laws.estimator import CLUSTER, WEIGHT, Estimate, Estimator, Options, Prediction
from models.laws.fixed import FixedLaw, check_within_bounds
from models.laws.identifiability import check_identifiable, warnings, wide_intervals
from models.laws.law import Array, Law
from models.laws.metrics import metrics

SAME_OBJECTIVE = 1.001  # minima whose objectives differ by less are one


class Parametric(Estimator):
    """Equation, source, bounds, starts and identifiability are the law's: see its docstring."""

    def __init__(self, law: Law, delta: float = 1e-3, positive: tuple[str, ...] = Estimator.positive):
        self.law, self.delta, self.positive = law, delta, positive
        self.name, self.inputs, self.response, self.coefficients = law.name, law.inputs, law.response, law.names

    @property
    def documentation(self) -> str:
        return inspect.getdoc(self.law) or ""

    def unusable(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Diverged runs, where the inputs say both size and tokens: then runs of the same inputs are one setting."""
        says_scale = all(name in self.inputs or sources(name, self.inputs) for name in ("N", "D"))
        if not says_scale or self.response != "loss":
            return {}
        positive = columns["loss"] > 0
        found = np.zeros(len(positive), dtype=bool)
        found[positive] = diverged(columns["loss"][positive], np.stack([columns[name][positive] for name in self.inputs], axis=1))
        return {f"loss is more than {DIVERGED:.0%} above the best run of the same {', '.join(self.inputs)} (diverged)": found}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "ParametricEstimate":
        law = FixedLaw(self.law, options.fixed)
        inputs = {name: columns[name] for name in self.inputs}
        problem = Problem.of(law, inputs, columns[self.response], columns.get(WEIGHT), self.delta)
        if not law.parameters:
            return self._evaluated(problem, options)
        check_fittable(problem)
        check_identifiable(problem)
        fitted = fit(problem)
        notes: tuple[str, ...] = ()
        if options.starts:
            fitted, notes = self._searched_from(fitted, options.starts)
        draws = bootstrap(fitted, options.bootstrap, options.seed, columns.get(CLUSTER)) if options.bootstrap else np.empty((0, len(fitted.u)))
        return self._estimate(
            fitted, law.all_values(fitted.values), law.all_values(draws), (*warnings(fitted), *wide_intervals(fitted, draws), *notes)
        )

    def _evaluated(self, problem: Problem, options: Options) -> "ParametricEstimate":
        """All coefficients are given: nothing is fitted, and there is nothing to be unsure of."""
        nothing = np.empty(0)
        law = problem.law
        assert isinstance(law, FixedLaw)
        evaluated = Fit(problem, nothing, problem.objective(nothing)[0], 0, 0)
        draws = law.all_values(np.empty((options.bootstrap, 0)))
        return self._estimate(evaluated, law.all_values(nothing), draws, ("All coefficients are given: intervals hold no doubt about them.",))

    def _searched_from(self, fitted: Fit, starts: Mapping[str, float]) -> tuple[Fit, tuple[str, ...]]:
        """The better of a fit and a search in which these coefficients begin at the values given, the others where the law's starts and the
        fit have them; with a sentence when the two end in different places."""
        check_within_bounds(self.law, starts)
        law, problem = fitted.problem.law, fitted.problem
        from_here = np.vstack([law.starts(problem.inputs, problem.response), fitted.values])
        for name, value in starts.items():
            if name in law.names:
                from_here[:, law.names.index(name)] = value
        other = fit(problem, from_here)
        best, worse = (other, fitted) if other.objective < fitted.objective else (fitted, other)
        if worse.objective <= best.objective * SAME_OBJECTIVE:
            return best, ()
        whose = ("the given start", "the law's own starts") if best is other else ("the law's own starts", "the given start")
        return best, (
            f"The search from {whose[0]} ended lower (objective {best.objective:.7g}) than that from {whose[1]} ({worse.objective:.7g}): "
            "the lower is reported.",
        )

    def _estimate(self, fitted: Fit, values: Array, draws: Array, notes: tuple[str, ...]) -> "ParametricEstimate":
        predicted = np.exp(self.law.log_prediction(values, fitted.problem.inputs))
        return ParametricEstimate(
            law=self.law,
            fitted=fitted,
            values=values,
            values_b=draws,
            coefficients=dict(zip(self.coefficients, map(float, values), strict=True)),
            draws=dict(zip(self.coefficients, draws.T, strict=True)),
            objective_name=f"sum of Huber(delta {self.delta:g}) of {'log ' if self.law.residual == 'log' else ''}residuals",
            objective=fitted.objective,
            metrics=metrics(fitted.problem.response, predicted),
            warnings=notes,
        )


@dataclass(frozen=True, kw_only=True)
class ParametricEstimate(Estimate):
    law: Law
    fitted: Fit  # of the free parameters
    values: Array  # of all parameters
    values_b: Array  # (b, all)

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return np.exp(self.law.log_prediction(self.values, inputs))

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        return (self.prediction(self.law.response, inputs),)

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        rows = len(next(iter(inputs.values())))
        with np.errstate(all="ignore"):
            return np.exp([self.law.log_prediction(values, inputs) for values in self.values_b]).reshape(-1, rows)
