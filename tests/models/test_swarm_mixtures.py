import numpy as np
import pytest

from models.frozen import StudyError
from models.mixture_laws.candidates import distances
from models.swarm_mixtures import SMALLEST_SHARE, sample_mixtures

NATURAL = np.array([0.5, 0.3, 0.15, 0.05])
UNBOUNDED = np.ones(4)
APART = 0.02


def samples(high_d: np.ndarray, count: int, seed: int, apart: float = APART) -> np.ndarray:
    return sample_mixtures(NATURAL, high_d, count, seed, temperature=0.5, strengths=(0.1, 5.0), apart=apart, domains="abcd")


def test_mixtures_are_whole_apart_and_reach_from_the_natural_shares_to_the_corners():
    mixtures_md = samples(UNBOUNDED, 60, seed=1)
    assert mixtures_md.shape == (60, 4)
    assert mixtures_md.sum(axis=1) == pytest.approx(1)
    assert mixtures_md[0] == pytest.approx(NATURAL)
    between = distances(mixtures_md, mixtures_md)[np.triu_indices(60, 1)]
    assert between.min() >= APART
    assert (mixtures_md.max(axis=0) > 0.8).all()
    positive = mixtures_md[mixtures_md > 0]
    assert positive.min() >= SMALLEST_SHARE


def test_they_are_the_same_again_and_more_of_them_begin_the_same():
    few, many = (samples(UNBOUNDED, count, seed=3) for count in (10, 25))
    assert (many[:10] == few).all()
    assert not np.array_equal(few, samples(UNBOUNDED, 10, seed=4))


def test_caps_hold():
    high_d = np.array([0.6, 0.6, 0.2, 0.1])
    mixtures_md = samples(high_d, 40, seed=0)
    assert (mixtures_md <= high_d + 1e-12).all()
    assert (np.isclose(mixtures_md, high_d).any(axis=1)).sum() > 5  # the caps bind


@pytest.mark.parametrize(
    ("high_d", "apart", "match"),
    [(np.full(4, 0.2), APART, "maximum shares sum to 0.8"), (UNBOUNDED, 0.9, "Only . of 12 mixtures are 0.9 apart")],
)
def test_what_the_bounds_do_not_allow_is_refused(high_d, apart, match):
    with pytest.raises(StudyError, match=match):
        samples(high_d, 12, seed=0, apart=apart)
