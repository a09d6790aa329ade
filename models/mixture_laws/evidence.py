"""What is said for each law: how it did on runs that it had not seen.

Shapes: n runs.
"""

from collections.abc import Mapping

import numpy as np

from models.decisions import spearman
from models.laws.law import Array

Evidence = dict[str, float | None]
SPEAKING = 0.1  # of the weight: laws with less are not named
DOUBTFUL = 0.5  # rank correlation with unseen runs below which a prediction is hardly one


def evidence(measured_n: Array, interpolated_n: Array, extrapolated_n: Array, noise: float | None, weight: float) -> Evidence:
    """Of one law, for the target's loss: measured, predicted at random hold-outs, predicted at the corners (NaN elsewhere).

    `spearman_*` are None where all predictions are equal; `error_over_noise` is None without two runs of one mixture.
    """
    corner_n = ~np.isnan(extrapolated_n)
    error = float(np.sqrt(np.mean((interpolated_n - measured_n) ** 2)))
    return {
        "weight": weight,
        "spearman_interpolation": spearman(interpolated_n, measured_n),
        "spearman_extrapolation": spearman(extrapolated_n[corner_n], measured_n[corner_n]),
        "error": error,
        "error_over_spread": error / float(measured_n.std()),
        "error_over_noise": error / noise if noise else None,
    }


def sentence(candidates: Mapping[str, Evidence], runs: int) -> str:
    """Which laws speak, and why."""
    by_weight = sorted(candidates.items(), key=lambda it: -(it[1]["weight"] or 0))
    speaking = [(law, it) for law, it in by_weight if (it["weight"] or 0) >= SPEAKING]
    shares = ", ".join(
        f"{law} {it['weight']:.0%} (Spearman {_number(it, 'interpolation')} at random, {_number(it, 'extrapolation')} towards the corners)"
        for law, it in speaking
    )
    return f"On runs held out of {runs}, these laws together erred least: {shares}."


def doubts(blend: Evidence) -> tuple[str, ...]:
    """Of the laws together."""
    found = []
    for where, held in (("interpolation", "runs held out at random"), ("extrapolation", "the mixtures nearest to the corners, from the others")):
        if (rank := blend[f"spearman_{where}"]) is None or rank < DOUBTFUL:
            found.append(f"Together, the laws rank {held} badly (Spearman {_number(blend, where)}): a choice between mixtures needs more runs.")
    return tuple(found)


def _number(it: Evidence, where: str) -> str:
    rank = it[f"spearman_{where}"]
    return "none" if rank is None else f"{rank:.2f}"
