"""Would the small sizes have decided as the largest one does? The largest size is left out, the rest predicts it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from models.laws.extrapolation import extrapolation
from models.laws.law import Array
from models.laws.noise import Runs
from models.verdict import BackTest, BackTestRow, interval


def back_test(runs: Runs, mixtures: Sequence[str], left_out: str, confidence: float, draws: int, seed: int) -> BackTest | None:
    """Predicts every mixture's mean loss at the largest size, from a law refitted to all smaller ones.

    Mixtures (named by `runs.mixture`) take part that have runs at that size and below. None when there is only one size, or no such mixture.
    """
    is_left_out = runs.num_params == runs.num_params.max()
    taking_part = np.intersect1d(runs.mixture[is_left_out], runs.mixture[~is_left_out])
    if not len(taking_part):
        return None
    rest, held = (_renumbered(runs.where(side & np.isin(runs.mixture, taking_part)), taking_part) for side in (~is_left_out, is_left_out))
    actual = _means(held)
    predicted_bm = _predictions(rest, held, draws, seed)
    intervals = [interval(column, confidence) for column in predicted_bm.T]
    predicted = np.array([it.value for it in intervals])
    single_scale = _means(rest.where(rest.num_params == rest.num_params.max())) if _all_present(rest) else None
    several = len(taking_part) > 1
    return BackTest(
        left_out=left_out,
        rows=tuple(
            BackTestRow(mixture=mixtures[int(m)], predicted_loss=it, actual_loss=float(loss))
            for m, it, loss in zip(taking_part, intervals, actual, strict=True)
        ),
        decision_accuracy=decision_accuracy(predicted, actual),
        spearman=float(np.corrcoef(rankdata(predicted), rankdata(actual))[0, 1])
        if len(taking_part) > 2 and np.ptp(predicted) and np.ptp(actual)
        else None,
        coverage=float(np.mean([it.low <= loss <= it.high for it, loss in zip(intervals, actual, strict=True)])),
        mean_absolute_error=float(np.abs(predicted - actual).mean()),
        regret=float(actual[predicted.argmin()] - actual.min()) if several else None,
        single_scale_decision_accuracy=decision_accuracy(single_scale, actual) if single_scale is not None else None,
    )


def decision_accuracy(predicted: Array, actual: Array) -> float | None:
    """The share of pairs that `predicted` (m) orders as `actual` (m) does; predicted ties count half, actual ties not at all. None without pairs."""
    pairs = [(predicted[i] - predicted[j], actual[i] - actual[j]) for i, j in combinations(range(len(actual)), 2) if actual[i] != actual[j]]
    return float(np.mean([0.5 if p == 0 else (p < 0) == (a < 0) for p, a in pairs])) if pairs else None


def _predictions(rest: Runs, held: Runs, draws: int, seed: int) -> Array:
    """(b, m) draws of what the held-out runs' mean loss per mixture would be, noise between their seeds included."""
    fitted = extrapolation(rest, draws, seed)
    cells = np.unique(held.cell)
    sums, counts = np.zeros((draws, rest.num_mixtures)), np.bincount(held.mixture, minlength=rest.num_mixtures)
    for cell in cells:
        here = held.where(held.cell == cell)
        seeds = np.bincount(here.mixture, minlength=rest.num_mixtures)
        at_cell = fitted.draws_at(here.num_params[:1], here.tokens[:1], seeds=int(seeds.max()), place=1 + int(cell))[:, 0]
        sums += seeds * at_cell
    return sums / counts


def _renumbered(runs: Runs, mixtures: Array) -> Runs:
    return Runs(np.searchsorted(mixtures, runs.mixture), runs.cell, runs.seed, runs.num_params, runs.tokens, runs.loss)


def _means(runs: Runs) -> Array:
    """(m) mean loss of each mixture's runs."""
    return np.bincount(runs.mixture, runs.loss) / np.bincount(runs.mixture)


def _all_present(rest: Runs) -> bool:
    """Whether every mixture has runs at the largest size of the rest."""
    return len(np.unique(rest.mixture[rest.num_params == rest.num_params.max()])) == rest.num_mixtures
