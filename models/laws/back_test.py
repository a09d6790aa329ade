"""Would the small sizes have decided as a larger one does? It is left out, the sizes below predict it, by each way of predicting.

Shapes: b draws, m mixtures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from models import decisions
from models.laws.extrapolation import Extrapolation, extrapolation
from models.laws.law import Array
from models.laws.noise import Runs
from models.laws.single_scale import SingleScale, single_scale
from models.verdict import COMBINATION, LAW, SINGLE_SCALE, BackTest, BackTestRow, MethodTest, interval


def back_tests(
    runs: Runs, mixtures: Sequence[str], size_names: Mapping[float, str], confidence: float, draws: int, seed: int
) -> tuple[BackTest, ...]:
    """The largest size left out and, of three or more, also the second largest together with it: predicted from the sizes below. `size_names` are
    by number of parameters."""
    sizes = np.unique(runs.num_params)
    left_out = sizes[:0:-1][:2]  # the smallest is never left out
    tests = (
        back_test(runs.where(runs.num_params <= size), mixtures, f"size {size_names[float(size)]}", confidence, draws, seed) for size in left_out
    )
    return tuple(test for test in tests if test)


def back_test(runs: Runs, mixtures: Sequence[str], left_out: str, confidence: float, draws: int, seed: int) -> BackTest | None:
    """Predicts every mixture's mean loss at the largest size from all smaller ones.

    Mixtures (named by `runs.mixture`) take part that have runs at that size and below. None when there is only one size, or no such mixture.
    """
    is_left_out = runs.num_params == runs.num_params.max()
    taking_part = np.intersect1d(runs.mixture[is_left_out], runs.mixture[~is_left_out])
    if not len(taking_part):
        return None
    rest, held = (_renumbered(runs.where(side & np.isin(runs.mixture, taking_part)), taking_part) for side in (~is_left_out, is_left_out))
    actual = np.bincount(held.mixture, held.loss) / np.bincount(held.mixture)
    names = [mixtures[int(m)] for m in taking_part]
    found = predictions(extrapolation(rest, draws, seed), held)
    return BackTest(left_out=left_out, methods={method: _tested(it, names, actual, confidence) for method, it in found.items()})


@dataclass(frozen=True)
class Prediction:
    """Draws (b, m) of the mixtures' losses by each of several opinions that count alike."""

    opinions: tuple[Array, ...]

    @property
    def draws_bm(self) -> Array:
        """The linear opinion pool (Stone 1961): the draws of all. Each draw of all mixtures is one opinion's."""
        return np.concatenate(self.opinions)

    def log_score(self, actual: Array) -> float | None:
        """The log density (nats) of what the mixtures' log-losses differed by: the mean over pairs, times the m - 1 differences that are independent.

        Opinions are taken as normal in each difference. None for one mixture.
        """
        first, second = np.triu_indices(len(actual), k=1)
        if not len(first):
            return None
        true = np.log(actual[first] / actual[second])
        densities = []
        for draws_bm in self.opinions:
            difference = np.log(draws_bm[:, first] / draws_bm[:, second])
            densities.append(norm.logpdf(true, difference.mean(0), difference.std(0)))
        return float((logsumexp(densities, axis=0) - np.log(len(densities))).mean() * (len(actual) - 1))


def target_predictions(fitted: Extrapolation, num_params: float, tokens: float) -> dict[str, Prediction]:
    """Of every mixture's expected loss at one scale, by method."""
    scale = np.array([num_params]), np.array([tokens])
    return _by_method(*(way.draws_at(*scale)[:, 0] for way in _ways(fitted)))


def predictions(fitted: Extrapolation, held: Runs) -> dict[str, Prediction]:
    """Of what the held-out runs' mean loss per mixture would be, noise between their seeds included, by method."""
    return _by_method(*(_held_out(way, held, fitted.runs.num_mixtures) for way in _ways(fitted)))


def _ways(fitted: Extrapolation) -> list[Extrapolation | SingleScale]:
    simple = single_scale(fitted)
    return [fitted] if simple is None else [fitted, simple]


def _by_method(law: Array, simple: Array | None = None) -> dict[str, Prediction]:
    if simple is None:
        return {LAW: Prediction((law,))}
    return {LAW: Prediction((law,)), SINGLE_SCALE: Prediction((simple,)), COMBINATION: Prediction((law, simple))}


def _held_out(way: Extrapolation | SingleScale, held: Runs, num_mixtures: int) -> Array:
    """(b, m)"""
    sums, counts = 0.0, np.bincount(held.mixture, minlength=num_mixtures)
    for cell in np.unique(held.cell):
        here = held.where(held.cell == cell)
        seeds = np.bincount(here.mixture, minlength=num_mixtures)
        sums += seeds * way.draws_at(here.num_params[:1], here.tokens[:1], seeds=int(seeds.max()), place=1 + int(cell))[:, 0]
    return sums / counts


def _tested(prediction: Prediction, mixtures: Sequence[str], actual: Array, confidence: float) -> MethodTest:
    draws_bm = prediction.draws_bm
    intervals = [interval(column, confidence) for column in draws_bm.T]
    predicted = np.array([it.value for it in intervals])
    return MethodTest(
        rows=tuple(
            BackTestRow(mixture=name, predicted_loss=it, actual_loss=float(loss)) for name, it, loss in zip(mixtures, intervals, actual, strict=True)
        ),
        decision_accuracy=decisions.decision_accuracy(predicted, actual),
        spearman=decisions.spearman(predicted, actual),
        regret=decisions.regret(predicted, actual) if len(actual) > 1 else None,
        coverage=decisions.coverage(np.array([it.low for it in intervals]), np.array([it.high for it in intervals]), actual),
        difference_coverage=_difference_coverage(draws_bm, actual, confidence),
        mean_absolute_error=float(np.abs(predicted - actual).mean()),
        log_score=prediction.log_score(actual),
    )


def _difference_coverage(draws_bm: Array, actual: Array, confidence: float) -> float | None:
    """The share of pairs whose difference lies in its interval."""
    first, second = np.triu_indices(len(actual), k=1)
    if not len(first):
        return None
    low, high = np.quantile(draws_bm[:, first] - draws_bm[:, second], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return decisions.coverage(low, high, actual[first] - actual[second])


def _renumbered(runs: Runs, mixtures: Array) -> Runs:
    return Runs(np.searchsorted(mixtures, runs.mixture), runs.cell, runs.seed, runs.num_params, runs.tokens, runs.loss)
