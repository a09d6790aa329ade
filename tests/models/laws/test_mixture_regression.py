import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.estimator import Options
from models.laws.registry import estimator

COLUMNS = ("w_a", "w_b", "w_c")


def mixtures(runs: int = 60) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), runs)
    loss = 2 + np.exp(-weights @ np.array([1.0, 0.2, 2.0])) + 0.002 * random.standard_normal(runs)
    return dict(zip(COLUMNS, weights.T, strict=True)) | {"loss": loss}


@pytest.mark.parametrize("name", ["mixture-linear", "mixture-lightgbm", "mixture-gp"])
def test_other_mixtures_are_ranked(name):
    columns = mixtures()
    train, test = ({key: column[part] for key, column in columns.items()} for part in (slice(40), slice(40, None)))
    law = estimator(name, ("loss",), COLUMNS[::-1])
    fitted = law.estimate(train, Options(bootstrap=30))
    assert np.corrcoef(fitted.predict(test), test["loss"])[0, 1] > 0.85
    assert fitted.metrics["mean_relative_error"] < 0.02 and not fitted.coefficients
    (one,) = fitted.predictions({"w_a": 0.2, "w_b": 0.3, "w_c": 0.5})
    assert one.draws.shape == (30,) and np.ptp(one.draws) > 0


def test_rows_that_are_no_mixtures_cannot_be_used_and_equal_losses_are_refused():
    columns = mixtures()
    columns["w_a"][3] = 0.99
    law = estimator("mixture-linear", ("loss",), COLUMNS)
    (bad,) = law.unusable(columns).values()
    assert np.flatnonzero(bad).tolist() == [3]
    with pytest.raises(StudyError, match="All 60 losses are equal"):
        law.estimate(mixtures() | {"loss": np.full(60, 3.0)}, Options())
