"""`assay fit`: any law, fitted to anybody's table of runs.

Shapes: n rows, b draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from models.frozen import Frozen, StudyError
from models.laws import derived
from models.laws.diverged import DIVERGED
from models.laws.estimator import Estimate, Estimator, Options
from models.laws.law import Array
from models.laws.metrics import metrics, spearman
from models.laws.record import Objective
from models.laws.registry import estimator
from models.one_thread import on_one_thread
from tasks.fit_request import FitRequest, assignments, coefficients, point, weight_columns
from tasks.fit_rows import FitRows, fit_rows
from tasks.tables import DroppedRows, Rows, Table


class Estimated(Frozen):
    """`low` and `high` are None without draws, or where the interval has no end."""

    value: float
    low: float | None
    high: float | None


class PredictedPoint(Frozen):
    """The law's response at one point. `low` and `high` hold what the fit leaves open (of the mean over runs), `run` a further run's scatter too."""

    inputs: dict[str, float]
    response: str
    value: float
    low: float | None
    high: float | None
    run: Estimated | None
    others: dict[str, Estimated]  # further responses, of laws that have several


class Holdout(Frozen):
    rows: int
    mean_relative_error: float | None
    mean_absolute_error: float
    rmse: float
    r2: float | None
    spearman: float | None
    coverage: float | None  # share of rows inside their interval of one further run


class TableFit(Frozen):
    law: str
    equation: str
    source: str
    rows: Rows
    coefficients: dict[str, Estimated]
    objective: Objective
    metrics: dict[str, float]
    holdout: Holdout | None
    predictions: tuple[PredictedPoint, ...]
    confidence: float
    bootstrap: int
    seed: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FittedTable:
    """A result, and what it was made from, to be drawn."""

    result: TableFit
    law: Estimator
    estimate: Estimate
    rows: FitRows


@on_one_thread
def fit_table(request: FitRequest) -> FittedTable:
    """
    Raises:
        StudyError: when something asked for does not exist, or the table's rows can't be fitted.
    """
    maps = assignments("--map", request.maps, "NAME=SQL, such as N=params or D='tokens * 1e9'")
    with Table(request.table) as table:
        weights = weight_columns(request.weights, table.names, request.table)
        law = estimator(request.law, tuple(maps), weights, request.delta)
        fixed = coefficients("--fix", request.fixed, law.name, law.coefficients)
        starts = coefficients("--start", request.starts, law.name, law.coefficients)
        if both := sorted(set(fixed) & set(starts)):
            raise StudyError(f"{both[0]} is given both by --fix and by --start: a coefficient that is fixed is not searched for.")
        points = [_point(law, text) for text in request.predict]
        rows = fit_rows(table, law, maps, weights, request)
    estimate = law.estimate(rows.used, Options(fixed, starts, request.bootstrap, request.seed, request.confidence))
    scatter = _Scatter.of(law, estimate, rows, len(fixed), request)
    result = TableFit(
        law=law.name,
        **_documented(law),
        rows=_rows(rows),
        coefficients={name: _interval(value, estimate.draws.get(name), request.confidence) for name, value in estimate.coefficients.items()},
        objective=Objective(name=estimate.objective_name, value=estimate.objective),
        metrics=dict(estimate.metrics),
        holdout=_holdout(law, estimate, rows, scatter),
        predictions=tuple(_predicted(law.response, estimate, one, scatter) for one in points),
        confidence=request.confidence,
        bootstrap=request.bootstrap,
        seed=request.seed,
        notes=(*rows.notes, *estimate.notes),
        warnings=(*estimate.warnings, *scatter.far_off),
    )
    return FittedTable(result, law, estimate, rows)


def _documented(law: Estimator) -> dict[str, str]:
    """The equation (the docstring's first paragraph, and lines that are set off below it) and the source."""
    first, *others = law.documentation.split("\n\n")
    set_off = [line for paragraph in takewhile(lambda it: it.startswith(" "), others) for line in paragraph.splitlines()]
    source = next((paragraph for paragraph in others if paragraph.startswith("Source: ")), "").removeprefix("Source: ").split("\nBounds:")[0]
    return {"equation": "; ".join(_one_line(text) for text in (first, *set_off)), "source": _one_line(source)}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rows(rows: FitRows) -> Rows:
    dropped = tuple(DroppedRows(count=one.count, reason=one.reason) for one in rows.dropped)
    return Rows(read=rows.read, used=_count(rows.used), dropped=dropped)


def _count(columns: Mapping[str, Array]) -> int:
    return len(next(iter(columns.values())))


def _point(law: Estimator, text: str) -> dict[str, float]:
    """The law's inputs at a point of --predict."""
    given = point(text)
    known = derived.with_derived({name: np.array(value) for name, value in given.items()}, law.inputs)
    if missing := [name for name in law.inputs if name not in known and name not in law.optional_at_point]:
        raise StudyError(f"--predict '{text}' does not say {missing[0]}: the law '{law.name}' predicts from {', '.join(law.inputs)}.")
    if unknown := [name for name in given if name not in (*law.inputs, *law.further_at_point, *derived.FORMULAS)]:
        raise StudyError(f"--predict '{text}' gives {unknown[0]}: the law '{law.name}' predicts from {', '.join(law.inputs)}.")
    names = [name for name in dict.fromkeys((*law.inputs, *law.further_at_point)) if name in known]
    for name in names:
        if name in law.positive and not known[name] > 0:
            raise StudyError(f"--predict '{text}' gives {name} = {float(known[name]):g}: it must be positive.")
    return {name: float(known[name]) for name in names}


@dataclass(frozen=True)
class _Scatter:
    """How far runs are from the law: residuals of the rows fitted to, drawn again for further runs."""

    residuals: Array  # log actual - log predicted of positive responses, actual - predicted of others
    is_log: bool
    seed: int
    confidence: float

    @classmethod
    def of(cls, law: Estimator, estimate: Estimate, rows: FitRows, num_fixed: int, request: FitRequest) -> "_Scatter":
        """Residuals, widened for the degrees of freedom that the fit has taken."""
        actual, predicted = rows.used[law.response], estimate.predict({name: rows.used[name] for name in law.inputs})
        is_log = law.response in law.positive
        residuals = np.log(actual / predicted) if is_log else actual - predicted
        freedom = max(len(actual) - max(len(estimate.coefficients) - num_fixed, 0), 1)
        return cls(residuals * (len(actual) / freedom) ** 0.5, is_log, request.seed, request.confidence)

    @property
    def far_off(self) -> tuple[str, ...]:
        """A sentence when rows are as far above the law as runs are that have diverged."""
        count = int((self.residuals > np.log1p(DIVERGED)).sum()) if self.is_log else 0
        advice = "leave out what has diverged (--where, --drop-highest-loss)"
        return (f"{count} rows lie more than {DIVERGED:.0%} above the law: {advice}.",) if count else ()

    def runs(self, draws: Array) -> Array:
        """Draws (b, ...) of a further run, from those of the law."""
        noise = np.random.default_rng([self.seed, 2]).choice(self.residuals, size=draws.shape)
        return draws * np.exp(noise) if self.is_log else draws + noise


def _interval(value: float, draws: Array | None, confidence: float) -> Estimated:
    """Central interval of draws (b), and the value, which lies outside where priors pull and draws are skew; a draw that is no number counts as
    infinite."""
    if draws is None or not len(draws):
        return Estimated(value=value, low=None, high=None)
    low, high = np.quantile(np.nan_to_num(draws, nan=np.inf), [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    low, high = min(float(low), value), max(float(high), value)
    return Estimated(value=value, low=low if np.isfinite(low) else None, high=high if np.isfinite(high) else None)


def _predicted(response: str, estimate: Estimate, inputs: dict[str, float], scatter: _Scatter) -> PredictedPoint:
    first, *others = estimate.predictions(inputs)
    found = _interval(first.value, first.draws, scatter.confidence)
    return PredictedPoint(
        inputs=inputs,
        response=first.response,
        value=found.value,
        low=found.low,
        high=found.high,
        run=_interval(first.value, scatter.runs(first.draws), scatter.confidence) if len(first.draws) and first.response == response else None,
        others={one.response: _interval(one.value, one.draws, scatter.confidence) for one in others},
    )


def _holdout(law: Estimator, estimate: Estimate, rows: FitRows, scatter: _Scatter) -> Holdout | None:
    if rows.held_out is None:
        return None
    inputs, actual = {name: rows.held_out[name] for name in law.inputs}, rows.held_out[law.response]
    predicted = estimate.predict(inputs)
    draws = estimate.draws_at(inputs)
    found = metrics(actual, predicted, logarithmic=False)
    of_runs = zip(predicted, scatter.runs(draws).T, strict=True) if len(draws) else ()
    intervals = [_interval(float(value), column, scatter.confidence) for value, column in of_runs]
    inside = [(it.low is None or it.low <= value) and (it.high is None or value <= it.high) for it, value in zip(intervals, actual, strict=False)]
    return Holdout(
        rows=len(actual),
        mean_relative_error=found.get("mean_relative_error"),
        mean_absolute_error=found["mean_absolute_error"],
        rmse=found["rmse"],
        r2=found.get("r2"),
        spearman=spearman(actual, predicted),
        coverage=float(np.mean(inside)) if inside else None,
    )
