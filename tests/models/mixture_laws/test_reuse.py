"""Which runs stay valid when domains change."""

import numpy as np
import pytest

from models.frozen import StudyError
from models.mixture_laws.law import MixtureRuns
from models.mixture_laws.reuse import Distinguished, DomainChanges, Reused, reused

WEIGHTS = np.array([[0.5, 0.5, 0.0], [0.0, 0.4, 0.6], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0]])
RUNS = MixtureRuns(("books", "code", "web"), ("loss",), WEIGHTS, np.arange(4.0)[:, None])
KEYS = ("r0", "r1", "r2", "r3")
TOKENS = {"books": 1.0, "c": 3.0, "python": 1.0, "code": 4.0, "web": 9.0, "maths": 2.0}


def reuse(changes: DomainChanges) -> Reused:
    return reused(RUNS, KEYS, changes, TOKENS)


def test_without_changes_all_is_as_it_was():
    found = reuse(DomainChanges())
    assert found.keys == KEYS and found.set_aside == {} and (found.runs.weights_nd == WEIGHTS).all() and found.runs.domains == RUNS.domains


def test_an_added_domain_is_in_no_run():
    found = reuse(DomainChanges(added=("maths",)))
    assert found.keys == KEYS and found.runs.domains == ("books", "code", "maths", "web")
    assert found.runs.weights_nd[:, 2].tolist() == [0] * 4
    assert Distinguished.by(found.runs, DomainChanges(added=("maths",)), TOKENS).unseen == ("maths",)


def test_of_a_revised_domain_only_runs_without_it_are_kept():
    found = reuse(DomainChanges(revised=("books",)))
    assert found.keys == ("r1",) and set(found.set_aside) == {"r0", "r2", "r3"}
    assert "drew 0.5 of its tokens from 'books'" in found.set_aside["r0"]
    assert found.runs.losses_nt.tolist() == [[1.0]]


def test_parts_of_a_split_domain_are_in_proportion_to_their_sizes():
    changes = DomainChanges(split={"code": ("c", "python")})
    found = reuse(changes)
    assert found.keys == KEYS and found.runs.domains == ("books", "c", "python", "web")
    assert found.runs.weights_nd[:, 1:3] == pytest.approx(np.outer(WEIGHTS[:, 1], [0.75, 0.25]))
    known = Distinguished.by(found.runs, changes, TOKENS)
    assert known.groups == ("books", "c+python", "web") and known.unseen == ()
    assert known.collapse(found.runs.weights_nd) == pytest.approx(WEIGHTS)
    assert known.expand(known.collapse(found.runs.weights_nd)) == pytest.approx(found.runs.weights_nd)
    assert known.knows(np.array([[0.2, 0.6, 0.2, 0.0], [0.2, 0.4, 0.4, 0.0]])).tolist() == [True, False]


def test_runs_after_the_split_tell_its_parts_apart():
    both = MixtureRuns(("c", "code", "python", "web"), ("loss",), np.array([[0, 0.5, 0, 0.5], [0.1, 0, 0.6, 0.3]]), np.zeros((2, 1)))
    changes = DomainChanges(split={"code": ("c", "python")})
    found = reused(both, ("old", "new"), changes, TOKENS)
    assert found.runs.weights_nd == pytest.approx(np.array([[0.375, 0.125, 0.5], [0.1, 0.6, 0.3]]))
    assert Distinguished.by(found.runs, changes, TOKENS).groups == ("c", "python", "web")


def test_bounds_of_parts_bind_their_group():
    changes = DomainChanges(split={"code": ("c", "python")})
    known = Distinguished.by(reuse(changes).runs, changes, TOKENS)
    low_g, high_g = known.bounds(np.array([0, 0.3, 0, 0]), np.array([1, 1, 0.2, 0.5]))
    assert low_g == pytest.approx([0, 0.4, 0]) and high_g == pytest.approx([1, 0.8, 0.5])


def test_kl_of_groups_is_that_of_what_they_expand_to():
    changes = DomainChanges(split={"code": ("c", "python")})
    known = Distinguished.by(reuse(changes).runs, changes, TOKENS)
    centre_d, weights_g = np.array([0.1, 0.2, 0.3, 0.4]), np.array([[0.3, 0.5, 0.2]])
    weights_d = known.expand(weights_g)
    of_groups = (weights_g * np.log(weights_g / known.centre(centre_d))).sum()
    assert of_groups == pytest.approx((weights_d * np.log(weights_d / centre_d)).sum())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (DomainChanges(revised=("boks",)), "did you mean 'books'"),
        (DomainChanges(split={"coed": ("c", "python")}), "'coed' is said to be split.*did you mean 'code'"),
        (DomainChanges(split={"code": ("c", "rust")}), "give the available tokens of rust"),
    ],
)
def test_changes_of_what_there_is_not(changes: DomainChanges, words: str):
    with pytest.raises(StudyError, match=words):
        reuse(changes)


def test_a_share_of_what_no_run_has_drawn_from_is_refused():
    found = reuse(DomainChanges(added=("maths",)))
    known = Distinguished.by(found.runs, DomainChanges(added=("maths",)), TOKENS)
    with pytest.raises(StudyError, match="'maths', and no valid run has drawn from it"):
        known.bounds(np.array([0, 0, 0.1, 0]), np.ones(4))
