"""Pictures of `assay mix`: predicted against measured, and a proposal beside the natural shares. Needs matplotlib, which takes a second to import."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.laws.law import Array
from models.mixture_laws.proposal_record import Reference
from models.verdict import Interval
from tasks.mix import FittedRuns
from tasks.mix_propose import MixProposal
from tasks.mixture_runs import JoinedRuns
from tasks.plot_file import save_plot

DRAWS = 256


def draw_fit(path: Path, it: FittedRuns, confidence: float, seed: int) -> None:
    """Above: predictions with their interval against what was measured, for the runs fitted to and those tested on; below: residuals."""
    tables = {"fitted to": it.train} | ({"tested on": it.test} if it.test else {})
    figure = Figure(figsize=(5 * len(tables), 7), layout="constrained")
    axes = figure.subplots(2, len(tables), squeeze=False, height_ratios=(3, 1))
    for (title, joined), above, below in zip(tables.items(), axes[0], axes[1], strict=True):
        _points(above, below, it, joined, confidence, seed)
        above.set_title(f"{len(joined.keys)} runs {title}")
    axes[0, 0].set_ylabel(f"predicted, {confidence:.0%} interval")
    axes[1, 0].set_ylabel("measured - predicted")
    figure.suptitle(it.target.name)
    save_plot(figure, path)


def _points(above: Axes, below: Axes, it: FittedRuns, joined: JoinedRuns, confidence: float, seed: int) -> None:
    measured, predicted = it.measured(joined), it.fitted.predict(joined.runs.weights_nd)
    draws = it.fitted.draws(joined.runs.weights_nd, DRAWS, seed)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    errors: Array = np.maximum([predicted - low, high - predicted], 0)
    above.errorbar(measured, predicted, yerr=errors, fmt="o", markersize=3, linewidth=0.5, color="tab:blue")
    ends = [min(measured.min(), predicted.min()), max(measured.max(), predicted.max())]
    above.plot(ends, ends, color="black", linewidth=0.8)
    above.set_xlabel("measured")
    below.plot(predicted, measured - predicted, "o", markersize=3, color="tab:blue")
    below.axhline(0, color="black", linewidth=0.8)
    below.set_xlabel("predicted")


def draw_proposal(path: Path, proposal: MixProposal) -> None:
    """Shares of the proposal beside those of the reference, by domain."""
    domains = sorted(proposal.weights, key=lambda domain: proposal.weights[domain])
    place = np.arange(len(domains))
    figure = Figure(figsize=(7, 1.5 + 0.35 * len(domains)), layout="constrained")
    axes = figure.subplots()
    axes.barh(place + 0.2, [proposal.weights[domain] for domain in domains], height=0.4, label=f"proposal: {_predicted(proposal.predicted)}")
    natural = [proposal.reference.weights[domain] for domain in domains]
    axes.barh(place - 0.2, natural, height=0.4, color="lightgray", label=f"{proposal.reference.name}: {_predicted(proposal.reference)}")
    axes.set_yticks(place, domains)
    axes.set_xlabel("share of tokens")
    axes.legend()
    axes.set_title(proposal.target)
    save_plot(figure, path)


def _predicted(it: Interval | Reference) -> str:
    return f"{it.value:.4f} ({it.low:.4f} to {it.high:.4f})"
