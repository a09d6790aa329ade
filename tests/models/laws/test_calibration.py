"""Do 90% intervals hold the truth in 85 to 95% of simulated studies, whose truth is not drawn from the priors?"""

import numpy as np
import pytest

from models.decisions import coverage
from models.laws.back_test import target_predictions
from models.laws.extrapolation import extrapolation
from models.verdict import COMBINATION, LAW
from tests.models.laws.simulated_study import random_truth, simulated_runs

TARGET = (1e7, 2e8)


@pytest.mark.slow
@pytest.mark.parametrize(("mixtures", "studies"), [(3, 150), (8, 100)])
def test_intervals_at_the_target_cover_what_they_say(mixtures, studies, capsys):
    """Losses of one study are right or wrong together: the standard error is that of a mean over studies, not over losses."""
    inside: dict[tuple[str, str], list[float]] = {}
    first, second = np.triu_indices(mixtures, k=1)
    for study in range(studies):
        random = np.random.default_rng([11, mixtures, study])
        truth = random_truth(random, mixtures, exponent_spread=0.01)
        found = target_predictions(extrapolation(simulated_runs(random, truth), 60, seed=0), *TARGET)
        true = truth.loss(np.arange(mixtures), *TARGET)
        for method in (LAW, COMBINATION):
            draws = found[method].draws_bm
            for what, values, actual in (("losses", draws, true), ("differences", draws[:, first] - draws[:, second], true[first] - true[second])):
                low, high = np.quantile(values, [0.05, 0.95], axis=0)
                inside.setdefault((method, what), []).append(coverage(low, high, actual))
    with capsys.disabled():
        for (method, what), shares in inside.items():
            error = np.std(shares) / studies**0.5
            print(
                f"\n{studies} studies of {mixtures} mixtures: 90% intervals of {what} by {method} cover {np.mean(shares):.3f} +- {error:.3f}", end=""
            )
    for (method, what), shares in inside.items():
        high = 0.95 if what == "losses" or method == LAW else 0.97  # two opinions, where one of them is the truth's own form: wide
        assert 0.85 <= np.mean(shares) <= high, (method, what)
