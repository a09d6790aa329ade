from collections import Counter

import pytest

from tasks.benchmarks.items import TEXT_BYTES, ChoiceBenchmark, Document, beginning, by_language, make_items
from tests.tasks.evaluation_study import documents

DEFINITION = ChoiceBenchmark(name="definition-choice", choose="text", setting="definition_domains")
TITLE = ChoiceBenchmark(name="title-choice", choose="title", setting="title_domains")
DOMAINS = {"definition-choice": "dictionary", "title-choice": "encyclopedia"}


def of(benchmark):
    return [document for document in documents() if document.domain == DOMAINS[benchmark.name]]


@pytest.mark.parametrize("benchmark", [DEFINITION, TITLE])
def test_items_are_of_heldout_documents_alone(benchmark):
    titles = {document.text.partition("\n\n")[0] for document in of(benchmark)}
    texts = {beginning(document.text.partition("\n\n")[2]) for document in of(benchmark)}
    text_by_title = {document.text.partition("\n\n")[0]: beginning(document.text.partition("\n\n")[2]) for document in of(benchmark)}
    for item in make_items(benchmark, "", of(benchmark), seed=0, max_items=100):
        assert text_by_title[item.title] == item.text
        assert item.choices[item.answer] == getattr(item, benchmark.choose)
        assert len(set(item.choices)) == 4
        assert set(item.choices) <= (titles if benchmark.choose == "title" else texts)


def test_right_answers_are_equally_often_at_each_position():
    counts = Counter(item.answer for item in make_items(DEFINITION, "", of(DEFINITION), seed=0, max_items=22))
    assert sorted(counts.values()) == [5, 5, 6, 6] and sorted(counts) == [0, 1, 2, 3]


def test_distractors_are_of_similar_length():
    many = [Document(f"d{i}", "dictionary", f"word{i}\n\n{i:03}" + "x" * i) for i in range(90)]
    for item in make_items(DEFINITION, "", many, seed=0, max_items=90):
        lengths = sorted(len(choice) for choice in item.choices)
        assert lengths[-1] - lengths[0] <= 16


def test_the_seed_decides_and_nothing_else():
    first, again = (make_items(DEFINITION, "", of(DEFINITION), seed=0, max_items=10) for _ in range(2))
    backwards = make_items(DEFINITION, "", of(DEFINITION)[::-1], seed=0, max_items=10)
    assert first == again == backwards
    assert make_items(DEFINITION, "", of(DEFINITION), seed=1, max_items=10) != first


def test_documents_of_another_form_or_said_twice_are_no_items():
    usable = [Document(f"d{i}", "dictionary", f"word{i}\n\nmeaning {i}") for i in range(4)]
    others = ["no blank line", "\n\nno title", "no text\n\n", "two\nlines\n\ntext", "WORD1\n\nanother meaning", "word9\n\nmeaning 2"]
    items = make_items(DEFINITION, "", [*usable, *(Document(f"e{i}", "dictionary", text) for i, text in enumerate(others))], seed=0, max_items=100)
    assert {item.id for item in items} == {"d0", "d1", "d2", "d3"}


def test_a_beginning_ends_between_words_and_never_within_a_character():
    assert beginning("short") == "short"
    assert beginning("word " * 50) == ("word " * 19).strip()
    assert len(beginning("é" * 99).encode()) == TEXT_BYTES
    assert beginning("a" + "é" * 99) == "a" + "é" * 49


def test_too_few_documents_give_no_items():
    assert make_items(DEFINITION, "", of(DEFINITION)[:3], seed=0, max_items=10) == []


def test_each_language_has_items_of_its_own():
    languages = ["en", None, "fr", "zh-Hant", "fr"]
    groups = by_language(Document(str(i), "foreign", "t\n\nx", lang) for i, lang in enumerate(languages))
    assert {language: [document.id for document in group] for language, group in groups.items()} == {
        "": ["0", "1"],  # what is not said to be of another language goes with English
        "-fr": ["2", "4"],
        "-zh-hant": ["3"],
    }
    assert make_items(DEFINITION, "-fr", of(DEFINITION), 0, 10) != make_items(DEFINITION, "", of(DEFINITION), 0, 10)
