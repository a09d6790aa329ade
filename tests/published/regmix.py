"""The runs of arXiv 2407.01492 (../shared/tables/README.md), and how well laws rank the mixtures that were held out."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import decisions
from models.laws.law import Array
from models.mixture_laws.law import MixtureLaw, MixtureRuns
from models.mixture_laws.surface import FittedSurfaces, losses_of

FOLDER = Path(__file__).parents[3] / "shared/tables/regmix"
SCALES = ("1m", "60m")  # parameters of the models that the test mixtures were trained with; laws see 1m only


@dataclass(frozen=True)
class Score:
    """Spearman at both scales (2)."""

    mean_of_losses: Array  # the mean of 13 correlations
    pile_cc: Array
    mean_loss: Array  # the correlation of the mean of 13 losses


def runs(mixtures: str, losses: str) -> MixtureRuns:
    weights, values = _table(f"{mixtures}.csv", "train_the_pile_"), _table(f"{losses}.csv", "metric/the_pile_")
    assert list(weights.index) == list(values.index)
    weights_nd = weights.values / weights.values.sum(axis=1, keepdims=True)  # rounded: rows sum to .996 to 1.003
    return MixtureRuns(weights.columns, tuple(name.removesuffix("_val_loss") for name in values.columns), weights_nd, values.values)


def training() -> MixtureRuns:
    return runs("train_mixture_1m", "train_pile_loss_1m")


def held_out(scale: str) -> MixtureRuns:
    return runs(f"test_mixture_{scale}", f"test_pile_loss_{scale}")


def draw(of: MixtureRuns, count: int, seed: int) -> MixtureRuns:
    """Some of the runs, at random."""
    rows = np.random.default_rng(1000 + seed).permutation(len(of.weights_nd))[:count]
    return MixtureRuns(of.domains, of.loss_names, of.weights_nd[rows], of.losses_nt[rows])


def score(law: MixtureLaw, train: MixtureRuns, tests: list[MixtureRuns]) -> Score:
    """One fit, of the mean loss: laws fit each of its losses, so that their surfaces are there too."""
    fitted = law.fit(train, np.full(len(train.loss_names), 1 / len(train.loss_names)))
    assert isinstance(fitted, FittedSurfaces)
    order = [fitted.asked.runs.loss_names.index(name) for name in train.loss_names]
    pile_cc = train.loss_names.index("pile_cc")
    by_loss, of_mean = [], []
    for test in tests:
        predicted_nt = losses_of(fitted.surfaces, fitted.asked.ordered(test.weights_nd))[:, order]
        by_loss.append([spearman(p, m) for p, m in zip(predicted_nt.T, test.losses_nt.T, strict=True)])
        of_mean.append(spearman(predicted_nt.mean(axis=1), test.losses_nt.mean(axis=1)))
    return Score(np.mean(by_loss, axis=1), np.array(by_loss)[:, pile_cc], np.array(of_mean))


def spearman(predicted: Array, measured: Array) -> float:
    """0 where a law predicts the same for all."""
    return decisions.spearman(predicted, measured) or 0.0


@dataclass(frozen=True)
class _Table:
    index: Array
    columns: tuple[str, ...]
    values: Array


def _table(file: str, prefix: str) -> _Table:
    with (FOLDER / file).open() as lines:
        header, *rows = csv.reader(lines)
    order = sorted(rows, key=lambda row: int(row[0]))
    values = np.array([[float(cell) for cell in row[1:]] for row in order])
    return _Table(np.array([int(row[0]) for row in order]), tuple(name.removeprefix(prefix) for name in header[1:]), values)
