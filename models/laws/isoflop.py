"""Compute-optimal size and tokens: a parabola per compute budget, then power laws of the budget.

Shapes: n rows, m budgets, b draws.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.frozen import StudyError
from models.laws.alike import TOLERANCE, within
from models.laws.bowl import pooled_noise
from models.laws.estimator import CLUSTER, WEIGHT, Estimate, Estimator, Options, Prediction
from models.laws.isoflop_budgets import Budget, LeftOut, budgets
from models.laws.law import Array
from models.laws.log_regression import LogLine, Points, log_line
from models.laws.metrics import metrics
from models.laws.parametric import Parametric, ParametricEstimate
from models.laws.power import Power

OF_SIZE, OF_TOKENS, OF_LOSS = ("G", "a"), ("H", "b"), ("E", "A", "alpha")
FEWEST_FOR_E = 4  # budgets; the minimum loss has three coefficients. Without E a loss one decade out is 5 to 10% too low in simulations
# A run whose loss is this much above the best of its budget has diverged, or is so far off that it tells nothing of the minimum: beyond the widest
# window of `isoflop_budgets.py` (0.5 in log loss) a run would count only where it is among the nearest few, and move the minimum there.
DIVERGED = 0.65
BUDGETS_NAMED = 5  # of those left out for one reason


class Isoflop(Estimator):
    """N*(C) = G C^a, D*(C) = H C^b and, where losses are mapped, L*(C) = E + A C^-alpha: size, tokens and loss that are best for C FLOPs.

    Rows are runs, `N`, `C` and `loss` (`D` as well where C is not 6 N D), or, when no loss is mapped, optimal pairs: the best `N` of each `C` (and
    `D`). Runs whose C differ by at most 10% are one budget; the differences are made up for by the slope of L*(C). In each a parabola of log loss in
    log N is fitted to the runs near its minimum (`models/laws/bowl.py`); D* comes from another in log D where D is mapped, and is C / (6 N*) where
    not. A budget with fewer than three sizes, or whose minimum is not bracketed, is left out and named.
    Then straight lines in logarithms (`models/laws/log_regression.py`): pairs count alike, or by their weights; budgets by the errors that the runs'
    scatter leaves N*, and by the scatter around the line.
    `--predict C=1e21` gives N*, D* and L*; `--predict N=1e9,C=1e21` the loss of a run off the optimum.

    Source: arXiv 2203.15556 section 3.2 (approach 2); 2406.19146, whose pairs and exponents it reproduces.
    Bounds: G, H, E, A > 0; 0 < alpha < 3.
    Starts: none; parabolas and lines are linear least squares. E, A and alpha as in the law `power`.
    Identifiability: three budgets at least. The exponents are as sure as budgets are many and far apart; E needs four budgets, and more to be known.
    Draws hold the scatter of the optima, not what is systematic, such as a schedule that suits some budgets better than others.
    """

    name = "isoflop"

    def __init__(self, mapped: Collection[str] = ("N", "C", "loss"), delta: float = 1e-3):
        self.delta = delta
        self.has_tokens = {"C", "D", "N"} <= set(mapped)
        self.has_loss = "loss" in mapped
        self.response = "loss" if self.has_loss else "N"
        self.inputs = (*(("N",) if self.has_loss else ()), "C", *(("D",) if self.has_tokens else ()))
        self.optional_at_point = ("N", "D")
        self.coefficients = (*OF_SIZE, *OF_TOKENS, *(OF_LOSS if self.has_loss else ()))

    def unusable(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        if not self.has_loss:
            return {}
        C, loss = columns["C"], columns["loss"]
        kept = np.flatnonzero((C > 0) & (loss > 0))
        diverged = np.zeros(len(C), dtype=bool)
        for rows in within(C[kept]):
            budget = kept[rows]
            diverged[budget] = loss[budget] > (1 + DIVERGED) * loss[budget].min()
        return {f"loss is more than {DIVERGED:.0%} above the best run of its C (diverged, or far off)": diverged}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "IsoflopEstimate":
        return self._from_runs(columns, options) if self.has_loss else self._from_pairs(columns, options)

    def _from_pairs(self, columns: Mapping[str, Array], options: Options) -> "IsoflopEstimate":
        C, N, weights = columns["C"], columns["N"], columns.get(WEIGHT)
        tokens = Points(C[:, None], columns["D"], weights) if self.has_tokens else None
        size_line, token_line = self._lines(Points(C[:, None], N, weights), tokens, options, "optimal pairs")
        found = IsoflopEstimate.of(size_line, token_line, None, _warnings(C, size_line, options), _notes(columns, options))
        return replace(found, metrics=metrics(N, size_line.at(C)))

    def _from_runs(self, columns: Mapping[str, Array], options: Options) -> "IsoflopEstimate":
        N, C, loss, weights = columns["N"], columns["C"], columns["loss"], columns.get(WEIGHT)
        if np.ptp(loss) == 0:
            raise StudyError(f"All {len(loss)} losses are equal ({loss[0]:g}): there is no size that is best.")
        by_size, left_out = budgets(N, C, loss, weights)
        self._check("N", by_size, left_out, options)
        by_tokens, not_by_tokens = budgets(columns["D"], C, loss, weights) if self.has_tokens else (by_size, [])
        self._check("D", by_tokens, not_by_tokens, options)
        size_line, token_line = self._lines(_points(by_size), _points(by_tokens) if self.has_tokens else None, options, "budgets")
        flops = np.array([one.flops for one in by_size])
        loss_law = _loss_law(by_size, options, self.delta)
        unsure = () if "E" in loss_law.estimate.coefficients else (_no_e(len(by_size)),)
        counted = np.concatenate([one.rows[one.bowl.counted] for one in by_size])
        found = IsoflopEstimate.of(
            size_line,
            token_line,
            loss_law,
            warnings=(
                *_left_out_in_words(left_out),
                *_warnings(flops, size_line, options),
                *unsure,
                *(f"Minimum loss: {warning}" for warning in loss_law.estimate.warnings),
            ),
            notes=(
                f"{len(by_size)} budgets, {flops.min():.4g} to {flops.max():.4g} FLOPs: C within {TOLERANCE:.0%} of each other is one. "
                f"{len(counted)} of the {len(loss)} rows are near enough to the minimum of one to count.",
                *_notes(columns, options),
            ),
        )
        near = {"N": N[counted], "C": C[counted]}
        optima = np.exp([one.bowl.place[0] for one in by_size])
        of_optima = {f"N_{name}": value for name, value in metrics(optima, size_line.at(flops)).items() if name in ("mean_relative_error", "r2")}
        return replace(found, metrics=metrics(loss[counted], found.predict(near)) | of_optima)

    def _lines(self, size: Points, tokens: Points | None, options: Options, what: str) -> tuple[LogLine, LogLine]:
        size_line = log_line(OF_SIZE, ("C",), size, options.fixed, options.bootstrap, options.seed, what)
        if tokens is None and not set(OF_TOKENS) & set(options.fixed):
            values, values_b = (np.array([-np.log(6), 1.0]) - of_size for of_size in (size_line.values, size_line.values_b))
            return size_line, LogLine(OF_TOKENS, values, values_b, size_line.squares)
        tokens = tokens or replace(size, y=size.x[:, 0] / (6 * size.y))
        return size_line, log_line(OF_TOKENS, ("C",), tokens, options.fixed, options.bootstrap, options.seed, what)

    def _check(self, of: str, found: list[Budget], left_out: list[LeftOut], options: Options) -> None:
        """Raises:
        StudyError: when budgets are too few for the coefficients that are not given.
        """
        needed = 1 if set(self.coefficients) <= set(options.fixed) else 3
        if len(found) < needed:
            reasons = "; ".join(_left_out_in_words(left_out))
            raise StudyError(
                f"The law 'isoflop' needs at least {needed} budgets C whose lowest loss lies inside their range of {of}, and these rows hold "
                f"{len(found)}"
                f"{' (' + reasons.rstrip('.') + ')' if reasons else ''}: add sizes or budgets."
            )


@dataclass(frozen=True)
class _LossLaw:
    """log L = log L*(C) + 1/2 curvature(C) log(N / N*)^2."""

    estimate: ParametricEstimate  # L*(C)
    curvature: LogLine


def _points(by_budget: list[Budget]) -> Points:
    noise, degrees = pooled_noise([one.bowl for one in by_budget])
    flops, places, variances = (
        np.array(column) for column in zip(*((one.flops, one.bowl.place[0], one.bowl.covariance[0, 0]) for one in by_budget), strict=True)
    )
    return Points(flops[:, None], np.exp(places), variance=noise * variances, degrees=degrees)


def _loss_law(by_budget: list[Budget], options: Options, delta: float) -> _LossLaw:
    """Where E can't be told, it is as good as 0 and not among the coefficients."""
    flops, floors = np.array([one.flops for one in by_budget]), np.exp([one.bowl.floor for one in by_budget])
    fixed, starts = ({name: value for name, value in given.items() if name in OF_LOSS} for given in (options.fixed, options.starts))
    has_e = "E" in fixed or len(by_budget) >= FEWEST_FOR_E
    asked = replace(options, fixed=fixed if has_e else fixed | {"E": 1e-12 * floors.min()}, starts=starts if has_e else {})
    estimate = Parametric(Power("C"), delta).estimate({"C": flops, "loss": floors}, asked)
    if not has_e:
        estimate = _without_e(estimate, flops, options.seed)
    curvatures = np.array([one.bowl.curvature[0, 0] for one in by_budget])
    exponent = {} if len(by_budget) > 2 else {"exponent": 0.0}
    level = {"level": float(curvatures[0])} if len(by_budget) == 1 else {}
    curvature = log_line(("level", "exponent"), ("C",), Points(flops[:, None], curvatures), exponent | level, 0, 0, "budgets")
    return _LossLaw(estimate, curvature)


def _without_e(estimate: ParametricEstimate, flops: Array, seed: int) -> ParametricEstimate:
    """L*(C) = A C^-alpha, whose draws are of laws with any E below the losses of the budgets, so that intervals hold what can't be told."""
    _, A_b, alpha_b = estimate.values_b.T
    loss_mb = A_b * flops[:, None] ** -alpha_b
    E_b = np.random.default_rng(seed).uniform(0, loss_mb.min(axis=0))
    centred = np.log(flops / np.exp(np.log(flops).mean()))
    log_rest = np.log(loss_mb - E_b)
    alpha_b = -centred @ log_rest / (centred @ centred)
    A_b = np.exp(log_rest.mean(axis=0) + alpha_b * np.log(flops).mean())
    return replace(
        estimate,
        values_b=np.column_stack([E_b, A_b, alpha_b]),
        coefficients={name: value for name, value in estimate.coefficients.items() if name != "E"},
        draws={"A": A_b, "alpha": alpha_b},
    )


def _no_e(num_budgets: int) -> str:
    return (
        f"With {num_budgets} budgets E of the minimum loss can't be told: it is taken as A C^-alpha, which is too low far beyond these budgets; "
        "the intervals are those of any E."
    )


def _left_out_in_words(left_out: list[LeftOut]) -> list[str]:
    by_reason: dict[str, list[LeftOut]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one)
    sentences = []
    for reason, those in by_reason.items():
        listed = ", ".join(f"{one.flops:.4g}" for one in those[:BUDGETS_NAMED]) + (" and more" if len(those) > BUDGETS_NAMED else "")
        rows = sum(one.count for one in those)
        sentences.append(
            f"{len(those)} budget{'s' if len(those) > 1 else ''} ({rows} row{'s' if rows > 1 else ''}; C = {listed}) left out: {reason}."
        )
    return sentences


def _warnings(flops: Array, size_line: LogLine, options: Options) -> tuple[str, ...]:
    doubts = []
    if (ratio := flops.max() / flops.min()) < 10 and "a" not in options.fixed:
        doubts.append(f"The budgets span a factor of {ratio:.3g} in C only: the exponents are hardly known.")
    if set(OF_SIZE) <= set(options.fixed):
        doubts.append("G and a are given: intervals hold no doubt about them.")
    elif not np.isfinite(size_line.values_b).all():
        doubts.append("The rows are too few to tell their scatter: there are no intervals.")
    return tuple(doubts)


def _notes(columns: Mapping[str, Array], options: Options) -> tuple[str, ...]:
    notes = []
    if begun := [name for name in (*OF_SIZE, *OF_TOKENS) if name in options.starts]:
        notes.append(f"{', '.join(begun)}: found in closed form, a start changes nothing.")
    if CLUSTER in columns:
        notes.append("Budgets are the units of the draws: rows of one cluster are not drawn together.")
    return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class IsoflopEstimate(Estimate):
    size_line: LogLine
    token_line: LogLine
    loss_law: _LossLaw | None

    @classmethod
    def of(
        cls, size_line: LogLine, token_line: LogLine, loss_law: "_LossLaw | None", warnings: tuple[str, ...], notes: tuple[str, ...]
    ) -> "IsoflopEstimate":
        """Without metrics."""
        parts = (size_line, token_line, *((loss_law.estimate,) if loss_law else ()))
        return cls(
            size_line=size_line,
            token_line=token_line,
            loss_law=loss_law,
            coefficients={name: value for part in parts for name, value in part.coefficients.items()},
            draws={name: draws for part in parts for name, draws in part.draws.items()},
            objective_name="sum of squared residuals of log N*",
            objective=size_line.squares,
            metrics={},
            warnings=warnings,
            notes=notes,
        )

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        """The loss at N and C; from pairs, N* at C."""
        best = self.size_line.at(inputs["C"])
        if not self.loss_law:
            return best
        lowest = self.loss_law.estimate.predict({"C": inputs["C"]})
        return lowest * self._rise(inputs, best)

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        best = self.size_line.draws_at(inputs["C"])
        if not self.loss_law:
            return best
        return self.loss_law.estimate.draws_at({"C": inputs["C"]}) * self._rise(inputs, best)

    def _rise(self, inputs: Mapping[str, Array], best: Array) -> Array:
        """Loss over the lowest of its budget, whose size is `best` (..., n)."""
        assert self.loss_law
        return np.exp(0.5 * self.loss_law.curvature.at(inputs["C"]) * np.log(inputs["N"] / best) ** 2)

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """At C: N*, D* and L*. At N and C: the loss."""
        point = {name: np.array([value]) for name, value in inputs.items()}
        if "N" in point and self.loss_law:
            return (self.prediction("loss", inputs),)
        C = point["C"]
        lines = (("N", self.size_line), ("D", self.token_line))
        optimal = tuple(Prediction(name, float(line.at(C)[0]), line.draws_at(C)[:, 0]) for name, line in lines)
        return optimal + (self.loss_law.estimate.predictions({"C": inputs["C"]}) if self.loss_law else ())
