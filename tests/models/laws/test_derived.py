from itertools import combinations

import numpy as np
import pytest

from models.laws.derived import FORMULAS, in_words, with_derived


def test_any_two_give_the_rest():
    N, D = np.array([1e8, 3e9]), np.array([2e9, 1e11])
    everything = {"N": N, "D": D, "C": 6 * N * D, "M": D / N}
    for pair in combinations(everything, 2):
        found = with_derived({name: everything[name] for name in pair}, tuple(FORMULAS))
        for name, column in everything.items():
            assert found[name] == pytest.approx(column, rel=1e-12)


def test_what_is_given_is_not_derived_and_one_alone_gives_nothing():
    given = {"N": np.ones(1), "D": np.ones(1), "C": np.full(1, 7.0)}
    assert with_derived(given, ("C", "U"))["C"] == 7.0
    assert set(with_derived({"N": np.ones(1)}, ("D", "C"))) == {"N"}
    assert in_words("D", ("N", "C")) == "D = C / (6 N)"
