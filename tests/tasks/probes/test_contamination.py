import numpy as np
import pytest

from tasks.benchmarks.items import Document
from tasks.benchmarks.version import Outline
from tasks.probes.base import Subject
from tasks.probes.config import ContaminationConfig
from tasks.probes.contamination import ContaminatedScores
from tasks.probes.contamination_scan import Contamination

TEXTS = (("code:0", "abcd"), ("news:0", "12345678"), ("news:1", "1234"), ("news:2", "12"))
DOCUMENTS = [Document(name, name.split(":")[0], text) for name, text in TEXTS]
OUTLINE = Outline(harness="lm-eval 1", settings={"metric": "acc"}, items=("aa", "bb"))


def ask(found: dict[str, Contamination], items=()):
    subject = Subject(
        model=None,  # type: ignore[arg-type]  # its scores are known
        context=64,
        bits_N=np.array([4.0, 8.0, 12.0, 1.0]),
        items={"choice": items, "generation": []},
        outlines={"choice": OUTLINE, "generation": OUTLINE, "heldout/news": OUTLINE},
        training=None,
    )
    return list(ContaminatedScores(ContaminationConfig(), found, DOCUMENTS).ask(subject))


def flags(judged: list[bool], contaminated: list[bool]) -> Contamination:
    return Contamination(judged=tuple(judged), contaminated=tuple(contaminated), overlaps=())


def test_items_are_scored_with_and_without_the_contaminated_ones():
    items = [{"accuracy": 1.0, "margin": 0.5}, {"accuracy": 0.0, "margin": -1.0}, {"accuracy": 0.0, "margin": 2.5}, {"accuracy": 1.0, "margin": 9.0}]
    answers = ask({"choice": flags([True, True, True, False], [False, True, False, False])}, items)
    assert {answer.benchmark for answer in answers} == {"contamination/choice"}
    assert {answer.metric: (answer.estimate.value, answer.estimate.count) for answer in answers} == {
        "contaminated_items": (1, 4),
        "judged_items": (3, 4),
        "accuracy_clean": (0.5, 2),
        "margin_clean": (1.5, 2),
        "accuracy_contaminated": (0.0, 1),
        "margin_contaminated": (-1.0, 1),
    }


def test_held_out_documents_are_those_of_their_domain():
    answers = ask({"heldout/news": flags([True] * 3, [False, True, True])})
    found = {answer.metric: answer.estimate.value for answer in answers}
    assert found["bits_per_byte_clean"] == 1
    assert found["bits_per_byte_contaminated"] == pytest.approx(13 / 6)


def test_a_part_without_items_is_missing_and_not_zero():
    answers = ask({"choice": flags([True], [False])}, [{"accuracy": 1.0}])
    found = {answer.metric: answer.estimate.model_dump() for answer in answers}
    assert found["accuracy_contaminated"] == {"value": None, "stderr": None, "count": 0}
    assert found["contaminated_items"]["value"] == 0


def test_a_benchmark_without_likelihoods_has_only_its_items_counted():
    answers = ask({"generation": flags([True, True], [True, False])})
    assert [answer.metric for answer in answers] == ["contaminated_items", "judged_items"]


def test_another_part_is_another_version():
    parts = ([True, False], [True, False], [False, True])
    one, same, other = (ask({"choice": flags([True] * 2, part)}, [{"accuracy": 1.0}] * 2)[0].outline for part in parts)
    assert one == same != other
    assert one.items == OUTLINE.items
    assert one.settings["metric"] == "acc"
