from collections.abc import Callable

import numpy as np
import pytest

from models.weight_hooks.skill_it import SkillIt
from models.weight_hooks.stream_hook import Array
from tests.models.weight_hooks.small_world import trained

EVEN = (1 / 3, 1 / 3, 1 / 3)
CHAIN = {"d0": {"d1": 0.5}, "d1": {"d2": 0.5}}  # d0 is the prerequisite of d1, and that of d2


def test_weights_follow_the_formula_with_the_graph_and_the_window():
    losses_ud = np.array([[9.0, 9.0, 9.0], [3.0, 2.0, 1.0], [2.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    hook = SkillIt(graph=CHAIN, step_size=0.1, window=2)
    start_d = np.array([0.5, 0.3, 0.2])
    adjacency_dd = np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    domains = ["d0", "d1", "d2"]
    assert (hook.adjacency(domains) == adjacency_dd).all()
    first_d = start_d * np.exp(0.1 * adjacency_dd.sum(axis=1))
    assert hook.weights(start_d, losses_ud[:1], np.empty((0, 3)), domains) == pytest.approx(first_d / first_d.sum())
    for measured, window in ((2, losses_ud[1:2]), (4, losses_ud[2:4])):
        expected_d = start_d * np.exp(0.1 * adjacency_dd @ window.sum(axis=0))
        found_d = hook.weights(start_d, losses_ud[:measured], np.tile(EVEN, (measured - 1, 1)), domains)
        assert found_d == pytest.approx(expected_d / expected_d.sum())


def learner() -> Callable[[Array], Array]:
    """Losses (d) by the steps that each skill was taught. What is taught of a skill is lost in so far as the one before it is not known."""
    losses_d, taught_d = np.full(3, 4.0), np.zeros(3)

    def losses_after(steps_d: Array) -> Array:
        nonlocal losses_d, taught_d
        for lesson_d in np.repeat((steps_d - taught_d)[None] / 100, 100, axis=0):
            known_d = np.append(1.0, 1 - losses_d[:-1] / 4)
            losses_d = losses_d * np.exp(-0.03 * lesson_d * known_d**2)
        taught_d = steps_d
        return losses_d

    return losses_after


def test_along_a_chain_of_prerequisites_it_teaches_in_their_order_and_more_than_evenly_drawn():
    hook = SkillIt(graph=CHAIN, intervals=30, step_size=0.1)
    weights_ud, losses_ud = trained(hook, learner(), EVEN, steps=300)
    peaks_d = weights_ud.argmax(axis=0)
    assert peaks_d[0] < peaks_d[1] < peaks_d[2]
    without_graph = trained(hook.model_copy(update={"graph": {}}), learner(), EVEN, steps=300)[1][-1].mean()
    assert losses_ud[-1].mean() < 0.95 * learner()(np.full(3, 290 / 3)).mean() < 0.95 * without_graph


def test_a_graph_names_domains_of_the_mixture():
    with pytest.raises(ValueError, match=r"hook.graph: there is no domain 'cde' \(did you mean 'code'\?\); the mixture draws from code, legal"):
        SkillIt(graph={"legal": {"cde": 1.0}}).starts(100, ["code", "legal"])
