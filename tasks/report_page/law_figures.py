"""Figures about the answer: predictions at the target, the back-test, laws over compute, training curves. Each draws tables of plot_tables.py."""

from collections.abc import Sequence

import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.verdict import Verdict
from tasks.report_page import numbers
from tasks.report_page.data_figures import ROW, WIDTH, legend_above, log_axis, new_figure, rows_for
from tasks.report_page.svg import FILL, INK, MUTED, PAPER, RULE, Series, drawing, hint, to_svg


def forest(table: pl.DataFrame, verdict: Verdict, series: Series) -> Markup:
    """A row per mixture, best first: predicted loss at the target with its interval, and the probability that it is the best."""
    with drawing("verdict"):
        figure, axes = interval_rows(table["mixture"].to_list(), width=650, right=210)
        for place, row in enumerate(table.iter_rows(named=True)):
            color, interval = series.color(row["mixture"]), numbers.with_interval(row["predicted_loss"], row["low"], row["high"])
            axes.hlines(place, row["low"], row["high"], color=color, linewidth=5, alpha=0.3)
            (mark,) = axes.plot(row["predicted_loss"], place, series.marker(row["mixture"]), color=color, markersize=7)
            hint(mark, f"{row['mixture']}: {interval}")
            beside(axes, place, interval, numbers.probability(row["probability_best"]))
        beside(axes, -0.9, f"loss, {100 * verdict.confidence:.0f}% interval", "P(best)", color=MUTED)
        axes.set_xlabel("predicted loss at the target (lower is better)")
        return to_svg(figure, "Predicted loss at the target with its interval, by mixture, best first")


def back_test(table: pl.DataFrame, verdict: Verdict, series: Series) -> Markup:
    """A row per mixture, as in `forest`: what the rest predicted for the scale left out (interval), and what it was (black)."""
    rows = {row["mixture"]: row for row in table.iter_rows(named=True)}
    names = [row.mixture for row in verdict.mixtures if row.mixture in rows]
    left_out = verdict.back_tests[0].left_out if verdict.back_tests else ""
    with drawing("back_test"):
        figure, axes = interval_rows(names, width=450, right=12)
        for place, name in enumerate(names):
            row, color = rows[name], series.color(name)
            axes.hlines(place, row["low"], row["high"], color=color, linewidth=5, alpha=0.3)
            axes.plot(row["predicted_loss"], place, series.marker(name), markerfacecolor=PAPER, markeredgecolor=color, markersize=7)
            (mark,) = axes.plot(row["actual_loss"], place, "|", color=INK, markersize=17, markeredgewidth=2.2)
            predicted = numbers.with_interval(row["predicted_loss"], row["low"], row["high"])
            hint(mark, f"{name}: predicted {predicted}, actual {numbers.loss(row['actual_loss'])}")
        axes.text(0, -0.9, "back-test: predicted (hollow) and actual (bar)", transform=axes.get_yaxis_transform(), va="center", color=MUTED)
        axes.set_xlabel(f"loss at {left_out}, left out of the fit")
        return to_svg(figure, f"Back-test on {left_out}: predicted and actual loss by mixture")


def interval_rows(names: Sequence[str], width: float, right: float) -> tuple[Figure, Axes]:
    """Rows for intervals, the same height and place in figures that stand side by side; `right`: pixels kept free for columns of text."""
    height, above, below = 60 + 1.5 * ROW * len(names), 24, 40
    left = 12 + 6.6 * max(map(len, names))
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((left / width, below / height, (width - left - right) / width, (height - above - below) / height))
    rows_for(axes, names)
    axes.grid(axis="x")
    return figure, axes


def beside(axes: Axes, place: float, first: str, second: str, color: str = INK) -> None:
    """Two columns of text to the right of a row."""
    for pixels, text in ((16, first), (155, second)):
        axes.annotate(text, (1, place), (pixels, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center", color=color)


def loss_by_compute(runs: pl.DataFrame, curves: pl.DataFrame, predictions: pl.DataFrame, verdict: Verdict, series: Series) -> Markup:
    """A panel per mixture: every run (point), its law along each ratio of tokens to parameters (line; band at the target's), its prediction."""
    mixtures = [name for name in series.number if name in set(runs["mixture"])]
    target_flops = 6 * verdict.target_num_params * verdict.target_tokens
    with drawing("loss_by_compute"):
        figure, panels = new_figure(WIDTH, 290, len(mixtures), sharex=True, sharey=True)
        for axes, mixture in zip(panels, mixtures, strict=True):
            for _, curve in curves.filter(pl.col("mixture") != mixture, pl.col("at_target_ratio")).group_by("mixture", maintain_order=True):
                axes.plot(curve["train_flops"], curve["loss"], color=FILL, linewidth=1)
            draw_law(axes, curves.filter(mixture=mixture), series.color(mixture))
            draw_runs(axes, runs.filter(mixture=mixture), series)
            for row in predictions.filter(mixture=mixture).iter_rows(named=True):
                color, marker = series.color(mixture), series.marker(mixture)
                axes.vlines(target_flops, row["low"], row["high"], color=color, linewidth=5, alpha=0.3)
                axes.plot(target_flops, row["predicted_loss"], marker, markerfacecolor=PAPER, markeredgecolor=color, markersize=7)
            log_axis(axes, lambda flops: numbers.power_of_ten(flops, 1).removeprefix("1×"))
            axes.axvline(target_flops, color=RULE, linewidth=0.8, zorder=0)
            axes.grid(axis="y")
            axes.set_title(mixture, color=series.color(mixture))
        figure.supxlabel("training compute (FLOPs, 6 N D); the upright line is the target", fontsize=11, color=MUTED)
        figure.supylabel("loss (bits per byte)", fontsize=11, color=MUTED)
        return to_svg(figure, "Loss by training compute with the fitted law, a panel per mixture")


def draw_law(axes: Axes, curves: pl.DataFrame, color: str) -> None:
    for (_, at_target), curve in curves.group_by("tokens_per_parameter", "at_target_ratio", maintain_order=True):
        axes.plot(curve["train_flops"], curve["loss"], color=color, linewidth=1.6 if at_target else 0.9)
        if at_target:
            axes.fill_between(curve["train_flops"], curve["low"], curve["high"], color=color, alpha=0.16)


def draw_runs(axes: Axes, runs: pl.DataFrame, series: Series) -> None:
    for run in runs.iter_rows(named=True):
        color, marker = series.color(run["mixture"]), series.marker(run["mixture"])
        (mark,) = axes.plot(run["train_flops"], run["loss"], marker, color=color, markersize=4, alpha=0.85)
        scale = f"{numbers.count(run['num_params'])} parameters, {numbers.count(run['tokens'])} tokens"
        hint(mark, f"{run['mixture']} {run['run']}: {numbers.loss(run['loss'])} ({scale})")


def checkpoints(table: pl.DataFrame, series: Series) -> Markup:
    """A panel per held-out domain: bits per byte by tokens seen, a line per run in its mixture's colour, a mark per checkpoint."""
    mixtures = [name for name in series.number if name in set(table["mixture"])]
    domains = table["domain"].unique(maintain_order=True).to_list()
    with drawing("checkpoints"):
        figure, panels = new_figure(WIDTH, 230, len(domains))
        for axes, domain in zip(panels, domains, strict=True):
            for (mixture, run), curve in table.filter(domain=domain).group_by("mixture", "run", maintain_order=True):
                look = {"color": series.color(str(mixture)), "marker": series.marker(str(mixture)), "markersize": 4, "linewidth": 1, "alpha": 0.8}
                (line,) = axes.plot(curve["tokens"], curve["bits_per_byte"], **look)
                hint(line, f"{mixture} {run}")
            log_axis(axes)
            axes.grid(axis="y")
            axes.set_title(domain)
        figure.supylabel("bits per byte", fontsize=11, color=MUTED)
        figure.supxlabel("tokens seen", fontsize=11, color=MUTED)
        legend_above(figure, mixtures, series)
        return to_svg(figure, "Bits per byte on held-out text by tokens seen, a panel per domain")


def training_curves(table: pl.DataFrame, series: Series) -> Markup:
    """A panel per size: training loss by tokens seen, a line per run in its mixture's colour."""
    mixtures = [name for name in series.number if name in set(table["mixture"])]
    sizes = table.sort("num_params")["size"].unique(maintain_order=True).to_list()
    with drawing("training_curves"):
        figure, panels = new_figure(WIDTH, 290, len(sizes), sharey=True)
        for axes, size in zip(panels, sizes, strict=True):
            for (mixture, run), curve in table.filter(size=size).group_by("mixture", "run", maintain_order=True):
                (line,) = axes.plot(curve["tokens"], curve["train_loss"], color=series.color(str(mixture)), linewidth=1, alpha=0.8)
                hint(line, f"{mixture} {run}")
            log_axis(axes)
            axes.grid(axis="y")
            axes.set_title(size)
        panels[0].set_ylabel("training loss (nats per token)")
        figure.supxlabel("tokens seen", fontsize=11, color=MUTED)
        legend_above(figure, mixtures, series)
        return to_svg(figure, "Training loss by tokens seen, a panel per size")
