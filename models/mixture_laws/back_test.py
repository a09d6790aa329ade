"""Would a mixture law have ranked mixtures that it has not seen? Some are left out, the others predict them, at one scale.

Shapes: n mixtures, d domains, b draws.
"""

from collections.abc import Sequence

import numpy as np

from models import decisions
from models.laws.law import Array
from models.mixture_laws.folds import interleaved_folds
from models.mixture_laws.law import MixtureLaw, MixtureRuns
from models.verdict import BackTestRow, MixtureBackTest, interval

DRAWS = 200


def fewest_mixtures(domains: int) -> int:
    """The exponential law, the smallest whose form is known (arXiv 2403.16952), has d + 1 coefficients that can be told apart; one mixture more tests
    it, and an eighth are left out at a time."""
    return -(-8 * (domains + 2) // 7)


def back_test(
    law: MixtureLaw, mixtures: Sequence[str], weights_nd: Array, loss_n: Array, noise_sd_n: Array, scale: str, confidence: float, seed: int
) -> MixtureBackTest:
    """Every mixture is left out once, with those of its fold. `noise_sd_n`: of the losses, which are means over seeds; it widens the intervals."""
    draws_bn = np.empty((DRAWS, len(loss_n)))
    domains = tuple(map(str, range(weights_nd.shape[1])))
    for held_n in interleaved_folds(weights_nd):
        rest = MixtureRuns(domains, ("loss",), weights_nd[~held_n], loss_n[~held_n, None])
        draws_bn[:, held_n] = law.fit(rest, np.ones(1)).draws(weights_nd[held_n], DRAWS, seed)
    draws_bn += noise_sd_n * np.random.default_rng([seed, 4]).standard_normal(draws_bn.shape)
    intervals = [interval(column, confidence) for column in draws_bn.T]
    predicted = np.array([it.value for it in intervals])
    return MixtureBackTest(
        law=law.name,
        scale=scale,
        rows=tuple(
            BackTestRow(mixture=name, predicted_loss=it, actual_loss=float(loss)) for name, it, loss in zip(mixtures, intervals, loss_n, strict=True)
        ),
        decision_accuracy=decisions.decision_accuracy(predicted, loss_n),
        spearman=decisions.spearman(predicted, loss_n),
        regret=decisions.regret(predicted, loss_n),
        coverage=decisions.coverage(np.array([it.low for it in intervals]), np.array([it.high for it in intervals]), loss_n),
    )
