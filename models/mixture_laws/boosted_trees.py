"""Gradient-boosted trees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from models.laws.law import Array
from models.mixture_laws.folds import interleaved_folds
from models.mixture_laws.surface import Surface, SurfaceLaw

LEARNING_RATE = 0.05  # RegMix has .01 and up to 1000 rounds; this is a fifth of the effort, for the same correlations within .001
MOST_ROUNDS = 300
SMALLEST_LEAVES = (3, 20)  # runs in a leaf: RegMix' (LightGBM's default), which cannot split fewer than 40 runs, or a tenth of the runs down to 3
REPEATABLE = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 0}


class BoostedTrees(SurfaceLaw):
    """L_i(r) = sum of regression trees on the weights (LightGBM).

    Source: arXiv 2407.01492 section 3.2 and its code: least squares, 31 leaves, learning rate .01, early stopping. There the rounds are chosen on
    the test set; here by cross-validation within the training runs (`rounds=None`), so that test mixtures stay unseen.
    Bounds: predictions stay between the lowest and the highest loss seen, give or take: trees do not extrapolate.
    Initialisation: the mean. Identifiability: no coefficients; with few runs a tree sees only which domains are there at all.
    """

    name = "lightgbm"

    def __init__(self, learning_rate: float = LEARNING_RATE, rounds: int | None = None) -> None:
        self.learning_rate = learning_rate
        self.rounds = rounds

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        smallest_leaf = int(np.clip(len(loss_n) // 10, *SMALLEST_LEAVES))
        parameters = {"objective": "l2", "learning_rate": self.learning_rate, "min_data_in_leaf": smallest_leaf, **REPEATABLE}
        rounds = self.rounds or _best_rounds(parameters, weights_nd, loss_n)
        return BoostedTreesSurface(parameters, rounds, _trained(parameters, rounds, weights_nd, loss_n))


@dataclass(frozen=True)
class BoostedTreesSurface(Surface):
    parameters: Mapping[str, Any]
    rounds: int
    booster: lightgbm.Booster

    def predict(self, weights_md: Array) -> Array:
        return np.asarray(self.booster.predict(weights_md))

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return BoostedTreesSurface(self.parameters, self.rounds, _trained(self.parameters, self.rounds, weights_nd, loss_n))


def _trained(parameters: Mapping[str, Any], rounds: int, weights_nd: Array, loss_n: Array) -> lightgbm.Booster:
    return lightgbm.train(dict(parameters), lightgbm.Dataset(weights_nd, loss_n, params=dict(parameters)), rounds)


def _best_rounds(parameters: Mapping[str, Any], weights_nd: Array, loss_n: Array) -> int:
    """The number of trees with the lowest squared error out of fold."""
    squares = np.zeros(MOST_ROUNDS)
    for held_n in interleaved_folds(weights_nd):
        errors: dict[str, Any] = {}
        rest = lightgbm.Dataset(weights_nd[~held_n], loss_n[~held_n], params=dict(parameters))
        held = lightgbm.Dataset(weights_nd[held_n], loss_n[held_n], reference=rest, params=dict(parameters))
        lightgbm.train(dict(parameters), rest, MOST_ROUNDS, valid_sets=[held], callbacks=[lightgbm.record_evaluation(errors)])
        squares += held_n.sum() * np.array(errors["valid_0"]["l2"])
    return int(squares.argmin()) + 1
