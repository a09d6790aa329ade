"""The loss law of arXiv 2403.08540 for RedPajama, from the five small runs that its authors fit it to; two large runs are predicted."""

import numpy as np
import pytest

from models.laws.core import Fit, Problem, fit
from models.laws.law import Array
from models.laws.overtraining import Overtraining

PUBLISHED = {"E": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136}
RUNS = np.array(  # parameters, tokens, loss on C4's validation set (exp_data/models of the authors' repository)
    [
        (10_569_312, 211_386_240, 5.387021),
        (10_569_312, 3_382_179_840, 4.572293),
        (78_914_048, 1_578_280_960, 3.899943),
        (153_677_376, 3_073_547_520, 3.531147),
        (411_616_256, 8_232_325_120, 3.149769),
    ]
)
LARGE = np.array([(1_439_795_200, 921_468_928_000, 2.502054), (6_889_410_560, 137_788_211_200, 2.424993)])
PUBLISHED_ERROR = 0.007  # of the loss of the large runs, relative


class LeastSquares(Overtraining):
    """As the authors fit it: residuals of the loss itself."""

    residual = "absolute"


def inputs(runs: Array) -> dict[str, Array]:
    N, D, _ = runs.T
    return {"C": 6 * N * D, "M": D / N}


def errors(found: Fit) -> Array:
    return np.exp(Overtraining().log_prediction(found.values, inputs(LARGE))) / LARGE[:, 2] - 1


def test_the_published_coefficients_are_reproduced(capsys):
    theirs = fit(Problem.of(LeastSquares(), inputs(RUNS), RUNS[:, 2], delta=1.0))
    robust = fit(Problem.of(Overtraining(), inputs(RUNS), RUNS[:, 2]))
    with capsys.disabled():
        print("\ncoefficient  published   ours: least squares, Huber of log-losses")
        for name, value in PUBLISHED.items():
            print(f"{name:11} {value:10.4g} {theirs.coefficients[name]:12.4g} {robust.coefficients[name]:10.4g}")
        for (N, D, _), ours, other in zip(LARGE, errors(theirs), errors(robust), strict=True):
            print(f"error at {N / 1e9:.1f}B, {D / 1e9:.0f}B tokens: {PUBLISHED_ERROR:.1%} {ours:9.2%} {other:9.2%}")
    assert theirs.coefficients == {
        "E": pytest.approx(PUBLISHED["E"], abs=0.005),
        "a": pytest.approx(PUBLISHED["a"], abs=0.5),
        "b": pytest.approx(PUBLISHED["b"], abs=0.5),
        "eta": pytest.approx(PUBLISHED["eta"], abs=0.0005),
    }
    assert errors(theirs) == pytest.approx(np.full(2, PUBLISHED_ERROR), abs=5e-4)
    assert (np.abs(errors(robust)) < PUBLISHED_ERROR).all()
