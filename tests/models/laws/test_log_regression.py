import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.log_regression import LogLine, Points, log_line

TRUTH = np.array([np.log(1.79), -0.713, 0.307])


def points(noise: float = 0.0, seed: int = 0, n: int = 12, variance: np.ndarray | None = None, degrees: float = 0.0) -> Points:
    random = np.random.default_rng(seed)
    x = np.exp(np.column_stack([random.uniform(17, 22, n), random.uniform(21, 26, n)]))
    log_y = TRUTH[0] + np.log(x) @ TRUTH[1:] + (noise if variance is None else np.sqrt(variance)) * random.standard_normal(n)
    return Points(x, np.exp(log_y), variance=variance, degrees=degrees)


def fitted(of: Points, given: dict[str, float] | None = None, draws: int = 0, seed: int = 0) -> LogLine:
    return log_line(("c", "alpha", "beta"), ("N", "D"), of, given or {}, draws, seed, "settings")


def test_known_coefficients_are_found_again():
    assert fitted(points()).values == pytest.approx(TRUTH, rel=1e-8)


def test_it_is_least_squares_of_logarithms():
    of = points(noise=0.2)
    design = np.column_stack([np.ones(12), np.log(of.x)])
    assert fitted(of).values == pytest.approx(np.linalg.lstsq(design, np.log(of.y))[0], rel=1e-9)
    weights = np.arange(1.0, 13.0)
    weighted = np.linalg.lstsq(design * np.sqrt(weights)[:, None], np.log(of.y) * np.sqrt(weights))[0]
    assert fitted(Points(of.x, of.y, weights)).values == pytest.approx(weighted, rel=1e-9)


@pytest.mark.parametrize("given", [{"c": 1.79}, {"alpha": -0.713}, {"c": 1.79, "beta": 0.307}])
def test_given_coefficients_are_kept_and_the_others_found(given):
    line = fitted(points(), given, draws=5)
    assert list(line.coefficients.values()) == pytest.approx([1.79, *TRUTH[1:]], rel=1e-8)
    assert all(line.draws[name] == pytest.approx(np.full(5, value)) for name, value in given.items())


def test_all_given_is_evaluated():
    line = fitted(points(), {"c": 1.79, "alpha": -0.713, "beta": 0.307}, draws=3)
    assert line.at(np.array([1e9]), np.array([1e11])) == pytest.approx([1.79 * 1e9**-0.713 * 1e11**0.307])
    assert np.ptp(line.draws_at(np.array([1e9]), np.array([1e11]))) == 0


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("known", [False, True])
def test_intervals_cover_the_truth(n, known):
    """90% intervals of three coefficients in 200 draws of points, where their errors are known and differ too."""
    covered = []
    for seed in range(200):
        variance = np.linspace(0.05, 0.3, n) ** 2 if known else None
        line = fitted(points(0.2, seed, n, variance, 100.0 if known else 0.0), draws=500, seed=seed)
        low, high = np.quantile(line.values_b, [0.05, 0.95], axis=0)
        covered.append((low <= TRUTH) & (high >= TRUTH))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.05)


def test_points_that_leave_something_open_are_refused():
    of = points()
    with pytest.raises(StudyError, match="c, alpha, beta need at least 4 settings, and there are 3"):
        fitted(points(n=3))
    with pytest.raises(StudyError, match=r"All 12 settings have the same N .*--fix alpha=VALUE"):
        fitted(Points(np.column_stack([np.full(12, 1e9), of.x[:, 1]]), of.y))
    with pytest.raises(StudyError, match="N and D go together"):
        fitted(Points(np.column_stack([of.x[:, 0], 20 * of.x[:, 0]]), of.y))
    with pytest.raises(StudyError, match="c = -1 is outside of its bounds"):
        fitted(of, {"c": -1.0})


def test_what_is_left_open_may_be_given():
    of = points()
    same_size = Points(np.column_stack([np.full(12, 1e9), of.x[:, 1]]), np.exp(TRUTH[0] + TRUTH[1] * np.log(1e9)) * of.x[:, 1] ** TRUTH[2])
    assert fitted(same_size, {"alpha": -0.713}).coefficients["beta"] == pytest.approx(0.307)
