"""Caps on epochs and shares, and what is said when they exclude each other."""

import numpy as np
import pytest

from models.frozen import StudyError
from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.limits import Limits, Supply

DOMAINS = ("books", "code", "web")
TOKENS = {"books": 1e9, "code": 5e9, "web": 1e11}


def test_epochs_cap_shares_at_the_target_budget():
    low_d, high_d = Limits(Supply(TOKENS, 1e11, 4)).bounds(DOMAINS)
    assert low_d.tolist() == [0, 0, 0] and high_d == pytest.approx([0.04, 0.2, 1.0])  # of web there is enough: one is the most


def test_a_maximum_share_and_a_cap_hold_together():
    _, high_d = Limits(Supply(TOKENS, 1e11, 4), max_share={"code": 0.3, "web": 0.9}).bounds(DOMAINS)
    assert high_d == pytest.approx([0.04, 0.2, 0.9])


def test_epochs_and_natural_shares():
    supply = Supply({**TOKENS, "none": 0.0}, 1e11)
    assert supply.epochs({"books": 0.02, "none": 0.0}) == pytest.approx({"books": 2.0, "none": 0.0})
    assert supply.epochs({"none": 0.1}) == {"none": None}
    assert supply.natural_shares(("books", "none")).tolist() == [1, 0]
    assert Supply(TOKENS).epochs({"books": 1.0}) is None


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(Supply(TOKENS, 1e12, 4)), "5.76e[+]11 tokens are missing; allow 9.43 epochs"),
        (
            Limits(Supply(TOKENS, 1e11, 4), max_share={"web": 0.5}),
            r"can fill 0.74 of .* \('books' 0.04, 'code' 0.2, 'web' 0.5\): 2.6e[+]10",
        ),
        (Limits(Supply(TOKENS, 1e11, 4), min_share={"books": 0.1}), "'books' shall have at least 0.1 of 1e[+]11 tokens.* 6e[+]09 tokens are missing"),
        (Limits(min_share={"wbe": 0.1}), "'wbe', which is no domain .did you mean 'web'"),
        (Limits(max_share={"web": 1.5}), "maximum share of 'web' is 1.5"),
    ],
)
def test_what_is_missing_is_named(limits: Limits, words: str):
    with pytest.raises(StudyError, match=words):
        limits.bounds(DOMAINS)


def test_caps_that_leave_exactly_one_mixture_are_no_error():
    supply = Supply({"a": 0.1e9, "b": 0.2e9, "c": 0.7e9}, 1e9, 1)
    found = FeasibleMixtures(*Limits(supply).bounds(("a", "b", "c")), supply.natural_shares(("a", "b", "c")))
    found.check("abc", "the natural shares")
    assert found.nearest(np.eye(3)) == pytest.approx(np.tile([0.1, 0.2, 0.7], (3, 1)))
