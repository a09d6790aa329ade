"""Figures about data: what recipes leave, what mixtures read, how that did on each domain. Each draws one table of plot_tables.py."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tasks.report_page import numbers
from tasks.report_page.svg import FILL, INK, PAPER, RULE, Series, drawing, hint, to_svg

WIDTH = 1120  # CSS pixels, as wide as the page
ROW = 19  # CSS pixels between rows that carry text
EPOCHS_AS_GOOD_AS_FRESH = 4  # repeating up to 4 times costs little: arXiv 2305.16264, section 5


def new_figure(width: float, height: float, panels: int = 1, most_columns: int = 4, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of as many panels, each row of them so high. Sizes are in CSS pixels."""
    columns = min(panels, most_columns)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width / 72, rows * height / 72), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05, wspace=0.03))
    axes = figure.subplots(rows, columns, squeeze=False, **options).flatten().tolist()
    for unused in axes[panels:]:
        unused.set_visible(False)
    return figure, axes[:panels]


def rows_for(axes: Axes, labels: Sequence[str]) -> None:
    """Names rows from top to bottom, with a thin line between them."""
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.hlines([row + 0.5 for row in range(len(labels) - 1)], 0, 1, transform=axes.get_yaxis_transform(), color=RULE, linewidth=0.7, zorder=0)


def log_axis(axes: Axes, unit: Callable[[float], str] = numbers.count) -> None:
    """A logarithmic x axis with a few legible ticks, whatever its range."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 300 * low else (1.0, 2.0, 5.0), numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: unit(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, mixtures: Sequence[str], series: Series) -> None:
    """Names of the mixtures in their colours, in one row above the panels."""
    handles = [Line2D([], [], color=series.color(m), marker=series.marker(m), markersize=5, linestyle="none", label=m) for m in mixtures]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=min(6, len(handles)), frameon=False, handletextpad=0.2, columnspacing=1.4, labelcolor=INK
    )


def marks(table: pl.DataFrame, names: Sequence[str], column: str, mixtures: Sequence[str]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each row of the table with its place: near the row of figure that `column` names, the mixtures one under the other."""
    offsets = dict(zip(mixtures, np.linspace(-0.3, 0.3, len(mixtures)) if len(mixtures) > 1 else [0.0], strict=True))
    for row in table.iter_rows(named=True):
        yield names.index(row[column]) + float(offsets[row["mixture"]]), row


def funnel(table: pl.DataFrame) -> Markup:
    """A panel per recipe: bytes (bar) and documents (triangle under it) left after each step, of those that the sources gave."""
    recipes = table["recipe"].unique(maintain_order=True).to_list()
    steps_by_recipe = [table.filter(recipe=recipe) for recipe in recipes]
    most_steps = max(steps.height for steps in steps_by_recipe)
    with drawing("funnel"):
        figure, panels = new_figure(WIDTH, 56 + ROW * 1.35 * most_steps, len(recipes), sharex=True)
        for axes, recipe, steps in zip(panels, recipes, steps_by_recipe, strict=True):
            shares = (steps["bytes"] / max(1, steps["bytes"][0])).to_numpy()
            documents = (steps["documents"] / max(1, steps["documents"][0])).to_numpy()
            axes.barh(range(steps.height), 1, color=RULE, height=0.62, alpha=0.55)
            axes.barh(range(steps.height), shares, color=FILL, height=0.62)
            axes.plot(documents, np.arange(steps.height) + 0.42, linestyle="none", marker="^", markersize=4.5, color=INK, clip_on=False)
            for place, row in enumerate(steps.iter_rows(named=True)):
                text = (
                    f"{numbers.size(row['bytes'])} · {numbers.count(row['documents'])} docs · {numbers.tokens(row['tokens'], row['counted'])} tokens"
                )
                axes.text(0.012, place, text, va="center", fontsize=10, color=INK, zorder=3)
            axes.set_yticks(range(steps.height), steps["step"], color=INK)
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(most_steps - 0.4, -0.6)
            axes.set_xlim(0, 1.01)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
            axes.spines["left"].set_visible(False)
            axes.set_title(recipe)
        return to_svg(figure, "Bytes and documents left after each step, by recipe")


def bits_per_byte_by_domain(table: pl.DataFrame, series: Series) -> Markup:
    """A row per domain, a mark per mixture: mean over seeds, and a line from the least to the most."""
    domains = table.group_by("domain").agg(pl.col("bits_per_byte").mean()).sort("bits_per_byte", "domain")["domain"].to_list()
    mixtures = [name for name in series.number if name in set(table["mixture"])]
    with drawing("bits_per_byte_by_domain"):
        figure, (axes,) = new_figure(WIDTH, 66 + len(domains) * max(34, 11 * len(mixtures)))
        rows_for(axes, domains)
        for place, row in marks(table, domains, "domain", mixtures):
            color = series.color(row["mixture"])
            axes.hlines(place, row["low"], row["high"], color=color, linewidth=2.2, alpha=0.55)
            (mark,) = axes.plot(row["bits_per_byte"], place, series.marker(row["mixture"]), color=color, markersize=6)
            spread = f"{numbers.loss(row['low'])} to {numbers.loss(row['high'])} over {row['seeds']} seeds"
            hint(mark, f"{row['mixture']} on {row['domain']}: {numbers.loss(row['bits_per_byte'])} bits per byte, {spread}")
        axes.set_xlabel("bits per byte on held-out documents (lower is better)")
        axes.grid(axis="x")
        legend_above(figure, mixtures, series)
        return to_svg(figure, "Bits per byte on each held-out domain, by mixture")


def benchmarks(table: pl.DataFrame, series: Series) -> Markup:
    """A panel per metric, a row per benchmark, a mark per mixture and seed with its standard error; a broken line where guessing would be. Metrics
    that fewer than half of the benchmarks have, and others have more of, are not drawn: their panels would be empty."""
    names = table["benchmark"].unique(maintain_order=True).to_list()
    spread = table.group_by("metric", maintain_order=True).agg(pl.col("benchmark").n_unique())
    metrics = spread.filter(pl.col("benchmark") >= pl.min_horizontal(len(names) / 2, pl.col("benchmark").max()))["metric"].to_list()
    mixtures = [name for name in series.number if name in set(table["mixture"])]
    with drawing("benchmarks"):
        figure, panels = new_figure(WIDTH, 66 + len(names) * max(44, 13 * len(mixtures)), len(metrics), sharey=True)
        for axes, metric in zip(panels, metrics, strict=True):
            rows_for(axes, names)
            for place, row in marks(table.filter(metric=metric), names, "benchmark", mixtures):
                color, error = series.color(row["mixture"]), row["stderr"] or 0
                axes.hlines(place, row["value"] - error, row["value"] + error, color=color, linewidth=1.4, alpha=0.5)
                (mark,) = axes.plot(row["value"], place, series.marker(row["mixture"]), color=color, markersize=5)
                value = f"{numbers.significant(row['value'])} ± {numbers.significant(row['stderr'], 2)} ({row['count']} items)"
                hint(mark, f"{row['mixture']}, seed {row['seed']}, {row['benchmark']}: {value}")
            chances = table.filter(pl.col("chance").is_not_null(), metric=metric).unique("benchmark", maintain_order=True)
            for row in chances.iter_rows(named=True):
                place = names.index(row["benchmark"])
                axes.vlines(row["chance"], place - 0.45, place + 0.45, color=INK, linestyle=(0, (3, 2)), linewidth=1.1)
            axes.locator_params(axis="x", nbins=5)
            axes.set_title(metric.replace("_", " "))
            axes.grid(axis="x")
        legend_above(figure, mixtures, series)
        return to_svg(figure, "Benchmark scores by benchmark and mixture")


def tokens_by_domain(table: pl.DataFrame, series: Series) -> Markup:
    """Three panels with a row per domain: weights, tokens and epochs (hollow: the largest proxy run, full: the same weights at the target)."""
    domains = sorted(table["domain"].unique())
    mixtures = [name for name in series.number if name in set(table["mixture"])]
    with drawing("tokens_by_domain"):
        figure, (weights, tokens, epochs) = new_figure(WIDTH, 66 + len(domains) * max(34, 11 * len(mixtures)), 3, sharey=True)
        for axes in (weights, tokens, epochs):
            rows_for(axes, domains)
            axes.grid(axis="x")
        for place, row in marks(table, domains, "domain", mixtures):
            color, marker = series.color(row["mixture"]), series.marker(row["mixture"])
            weights.barh(place, row["weight"], height=0.6 / len(mixtures), color=color)
            for axes, name, unit in ((tokens, "tokens", numbers.count), (epochs, "epochs", numbers.significant)):
                proxy, target = row[name], row[f"target_{name}"]
                if proxy and target:
                    axes.plot([proxy, target], [place, place], color=color, linewidth=1, alpha=0.6)
                    axes.plot(proxy, place, marker, markerfacecolor=PAPER, markeredgecolor=color, markersize=5)
                    (mark,) = axes.plot(target, place, marker, color=color, markersize=5)
                    hint(mark, f"{row['mixture']}, {row['domain']}: {unit(proxy)} {name} in the proxy, {unit(target)} at the target")
        weights.set_title("weight")
        weights.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
        tokens.set_title("tokens read")
        log_axis(tokens)
        epochs.set_title("epochs")
        log_axis(epochs, "{:g}".format)
        epochs.axvline(EPOCHS_AS_GOOD_AS_FRESH, color=INK, linestyle=(0, (3, 2)), linewidth=1)
        legend_above(figure, mixtures, series)
        return to_svg(figure, "Weights, tokens and epochs by domain and mixture")
