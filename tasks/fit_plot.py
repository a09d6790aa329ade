"""Picture of `assay fit`: the fit, its residuals, and the valley of its objective. Needs matplotlib, which takes a second to import."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from models.laws.law import Array
from models.laws.parametric import ParametricEstimate
from models.laws.valley import valley
from tasks.fit_table import FittedTable
from tasks.plot_file import save_plot

CURVE_POINTS = 200
HIGHEST_RISE = 1.0  # that is told apart: the objective's minimum, doubled
LEVELS = 12  # of the objective, in steps that grow from the minimum


def draw_fit(path: Path, it: FittedTable) -> None:
    """
    Raises:
        StudyError: when the file can't be written, or not in the format that its name asks for.
    """
    has_valley = isinstance(it.estimate, ParametricEstimate) and len(it.estimate.fitted.u) > 0
    figure = Figure(figsize=(15 if has_valley else 10, 4.5), layout="constrained")
    axes = figure.subplots(1, 3 if has_valley else 2)
    along = _widest_input(it)
    if len(it.law.inputs) == 1:
        _curve(axes[0], it, along)
    else:
        _predicted_against_measured(axes[0], it)
    _residuals(axes[1], it, along)
    if has_valley:
        assert isinstance(it.estimate, ParametricEstimate)
        _valley(axes[2], it.estimate)
    figure.suptitle(f"{it.result.law}, {it.result.rows.used} rows")
    save_plot(figure, path)


def _widest_input(it: FittedTable) -> str:
    """The input with the most values, the first of those."""
    return max(it.law.inputs, key=lambda name: len(np.unique(it.rows.used[name])))


def _groups(it: FittedTable) -> list[tuple[str, dict[str, Array]]]:
    return [("fitted", it.rows.used)] + ([("held out", it.rows.held_out)] if it.rows.held_out else [])


def _curve(axes: Axes, it: FittedTable, along: str) -> None:
    """The law and its interval over its only input, as far as rows and predictions go."""
    places = np.concatenate([columns[along] for _, columns in _groups(it)] + [[one.inputs[along]] for one in it.result.predictions])
    is_log = along in it.law.positive
    x = (np.geomspace if is_log else np.linspace)(places.min(), places.max(), CURVE_POINTS)
    axes.plot(x, it.estimate.predict({along: x}), color="black", linewidth=1)
    draws = it.estimate.draws_at({along: x})
    if len(draws):
        outside = (1 - it.result.confidence) / 2
        low, high = np.quantile(draws, [outside, 1 - outside], axis=0)
        axes.fill_between(x, low, high, alpha=0.2, color="black", linewidth=0)
    for label, columns in _groups(it):
        axes.plot(columns[along], columns[it.law.response], ".", label=label)
    axes.set(xlabel=along, ylabel=it.law.response, title=f"fit and {it.result.confidence:.0%} interval of the law")
    axes.set_xscale("log" if is_log else "linear")
    axes.legend()


def _predicted_against_measured(axes: Axes, it: FittedTable) -> None:
    for label, columns in _groups(it):
        axes.plot(it.estimate.predict({name: columns[name] for name in it.law.inputs}), columns[it.law.response], ".", label=label)
    measured = np.concatenate([columns[it.law.response] for _, columns in _groups(it)])
    axes.axline((measured.min(), measured.min()), slope=1, color="black", linewidth=0.8)
    axes.set(xlabel=f"predicted {it.law.response}", ylabel=f"measured {it.law.response}", title="fit")
    axes.legend()


def _residuals(axes: Axes, it: FittedTable, along: str) -> None:
    """Relative where the response is positive, as losses are; absolute elsewhere."""
    is_relative = it.law.response in it.law.positive
    for label, columns in _groups(it):
        predicted = it.estimate.predict({name: columns[name] for name in it.law.inputs})
        error = columns[it.law.response] - predicted
        axes.plot(columns[along], 100 * error / predicted if is_relative else error, ".", label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel=along, ylabel="measured - predicted" + (", %" if is_relative else ""), title="residuals")
    if along in it.law.positive:
        axes.set_xscale("log")


def _valley(axes: Axes, estimate: ParametricEstimate) -> None:
    found, fitted = valley(estimate.fitted), estimate.fitted
    lowest = min(fitted.objective, float(found.objective.min()))
    rise = (found.objective - lowest) / max(lowest, 1e-300)
    best = fitted.coefficients
    if len(found.names) == 1:
        axes.plot(found.values[0], rise)
        axes.set_ylabel("objective above its minimum, relative")
    else:
        highest = min(float(rise[np.isfinite(rise)].max()), HIGHEST_RISE)
        filled = axes.contourf(*found.values, rise.T, levels=highest * np.linspace(0, 1, LEVELS) ** 2, cmap="viridis_r", extend="max")
        axes.figure.colorbar(filled, ax=axes, label="objective above its minimum, relative")
        axes.set_ylabel(found.names[1])
        axes.plot(best[found.names[0]], best[found.names[1]], "k+")
    axes.set(xlabel=found.names[0], title="valley of the objective, the other coefficients refitted")
    sides = ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale))
    for (axis, set_scale), values in zip(sides, found.values, strict=False):
        if values.min() > 0 and values.max() > 3 * values.min():
            set_scale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_locator(NullLocator())
