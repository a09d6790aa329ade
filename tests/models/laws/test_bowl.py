import numpy as np
import pytest

from models.laws.bowl import Bowl, bowl, pooled_noise

WINDOWS = (0.03, 0.1, 0.3)
CURVATURE = np.array([[0.02, -0.006], [-0.006, 0.012]])
PLACE = np.array([-6.5, 12.0])


def line(noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(-3, 3, 11)[:, None]
    return z, 1.1 + 0.02 * (z[:, 0] - 0.4) ** 2 + noise * np.random.default_rng(seed).standard_normal(11)


def plane(noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    z = np.stack(np.meshgrid(np.linspace(-8.5, -4.5, 9), np.linspace(10, 14.5, 8)), axis=-1).reshape(-1, 2)
    height = 0.5 * np.einsum("ni,ij,nj->n", z - PLACE, CURVATURE, z - PLACE)
    return z, 0.9 + height + noise * np.random.default_rng(seed).standard_normal(len(z))


def test_a_quadratic_is_found_exactly():
    one, two = bowl(*line(), WINDOWS), bowl(*plane(), WINDOWS)
    assert isinstance(one, Bowl) and isinstance(two, Bowl)
    assert (one.place[0], one.floor, one.curvature[0, 0]) == pytest.approx((0.4, 1.1, 0.04), rel=1e-6)
    assert two.place == pytest.approx(PLACE, rel=1e-6)
    assert two.floor == pytest.approx(0.9, rel=1e-9)
    assert two.curvature == pytest.approx(CURVATURE, rel=1e-6)


def test_a_steep_side_hardly_moves_the_minimum():
    """A parabola through all eleven runs has its minimum 1.1 lower."""
    z, log_loss = line()
    found = bowl(z, log_loss + 0.1 * np.maximum(z[:, 0] - 1, 0) ** 2, WINDOWS)
    assert isinstance(found, Bowl)
    assert found.place[0] == pytest.approx(0.4, abs=0.1)


def test_runs_that_count_nothing_do_not_decide():
    z, log_loss = plane()
    wrong = np.random.default_rng(0).random(len(z)) < 0.2
    found = bowl(z, np.where(wrong, log_loss + 0.01, log_loss), WINDOWS, np.where(wrong, 1e-9, 1.0))
    assert isinstance(found, Bowl)
    assert found.place == pytest.approx(PLACE, rel=1e-4)


@pytest.mark.parametrize("runs", [line, plane])
def test_the_error_of_the_place_is_as_said(runs):
    """Squared distances over their predicted variance are 1 on average: 3 standard errors of 300 draws are 0.25."""
    noise = 0.001
    truth = np.array([0.4]) if runs is line else PLACE
    found = [bowl(*runs(noise, seed), windows=WINDOWS) for seed in range(300)]
    bowls = [one for one in found if isinstance(one, Bowl)]
    assert len(bowls) == 300
    ratio = [(one.place - truth) ** 2 / np.diag(one.covariance) / noise**2 for one in bowls]
    assert np.mean(ratio, axis=0) == pytest.approx(np.ones(len(truth)), abs=0.25)
    assert np.sqrt(pooled_noise(bowls)[0]) == pytest.approx(noise, rel=0.1)


def test_what_has_no_minimum_is_said_in_words():
    z, log_loss = line()
    assert bowl(z, -log_loss, WINDOWS) == "the loss does not curve upwards around the minimum"
    assert bowl(z, np.exp(-0.1 * z[:, 0]), WINDOWS) == "the minimum is not bracketed by the runs"
    assert bowl(z[:2], log_loss[:2], WINDOWS) == "too few runs to tell the minimum"
    assert bowl(np.column_stack([z, np.ones(11)]), log_loss, WINDOWS) == "too few runs to tell the minimum"
