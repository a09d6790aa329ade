import pytest

from models.frozen import StudyError
from models.laws.registry import LAWS, OF_MIXTURES, estimator

TABLED = {"power", "chinchilla", "isoflop", "data-constrained", "overtraining", "step-law", "mixture-exp", "mixture-linear"}
TABLED |= {"mixture-lightgbm", "mixture-gp", "joint", "cmr", "overfitting", "downstream"}


@pytest.mark.parametrize("name", LAWS)
def test_every_law_says_what_it_is(name):
    law = estimator(name, ("N", "loss"), ("w_a", "w_b") if name in OF_MIXTURES else ())
    assert law.inputs and law.response
    for said in ("Source:", "Bounds:", "Identifiability:"):
        assert said in law.documentation, f"{name} does not say its {said}"


def test_the_laws_promised_are_there():
    assert set(LAWS) >= TABLED


def test_power_is_a_law_of_what_is_mapped():
    assert estimator("power", ("D", "loss")).inputs == ("D",)
    with pytest.raises(StudyError, match="none is mapped"):
        estimator("power", ("loss",))
