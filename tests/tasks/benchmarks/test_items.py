import json
from collections import Counter

import pytest
import yaml

from models.frozen import StudyError
from tasks.benchmarks.config import EvaluationConfig
from tasks.benchmarks.items import TEXT_BYTES, ChoiceBenchmark, Document, Item, beginning, make_items, write_benchmarks, write_task
from tests.tasks.evaluation_study import documents

DEFINITION = ChoiceBenchmark(name="definition-choice", choose="text", domain="dictionary", setting="definition_domain")
TITLE = ChoiceBenchmark(name="title-choice", choose="title", domain="encyclopedia", setting="title_domain")


def of(benchmark):
    return [document for document in documents() if document.domain == benchmark.domain]


@pytest.mark.parametrize("benchmark", [DEFINITION, TITLE])
def test_items_are_of_heldout_documents_alone(benchmark):
    titles = {document.text.partition("\n\n")[0] for document in of(benchmark)}
    texts = {beginning(document.text.partition("\n\n")[2]) for document in of(benchmark)}
    text_by_title = {document.text.partition("\n\n")[0]: beginning(document.text.partition("\n\n")[2]) for document in of(benchmark)}
    for item in make_items(benchmark, of(benchmark), seed=0, max_items=100):
        assert text_by_title[item.title] == item.text
        assert item.choices[item.answer] == getattr(item, benchmark.choose)
        assert len(set(item.choices)) == 4
        assert set(item.choices) <= (titles if benchmark.choose == "title" else texts)


def test_right_answers_are_equally_often_at_each_position():
    counts = Counter(item.answer for item in make_items(DEFINITION, of(DEFINITION), seed=0, max_items=22))
    assert sorted(counts.values()) == [5, 5, 6, 6] and sorted(counts) == [0, 1, 2, 3]


def test_distractors_are_of_similar_length():
    many = [Document(f"d{i}", "dictionary", f"word{i}\n\n{i:03}" + "x" * i) for i in range(90)]
    for item in make_items(DEFINITION, many, seed=0, max_items=90):
        lengths = sorted(len(choice) for choice in item.choices)
        assert lengths[-1] - lengths[0] <= 16


def test_the_seed_decides_and_nothing_else():
    first, again = (make_items(DEFINITION, of(DEFINITION), seed=0, max_items=10) for _ in range(2))
    backwards = make_items(DEFINITION, of(DEFINITION)[::-1], seed=0, max_items=10)
    assert first == again == backwards
    assert make_items(DEFINITION, of(DEFINITION), seed=1, max_items=10) != first


def test_documents_of_another_form_or_said_twice_are_no_items():
    usable = [Document(f"d{i}", "dictionary", f"word{i}\n\nmeaning {i}") for i in range(4)]
    others = ["no blank line", "\n\nno title", "no text\n\n", "two\nlines\n\ntext", "WORD1\n\nanother meaning", "word9\n\nmeaning 2"]
    items = make_items(DEFINITION, [*usable, *(Document(f"e{i}", "dictionary", text) for i, text in enumerate(others))], seed=0, max_items=100)
    assert {item.id for item in items} == {"d0", "d1", "d2", "d3"}


def test_a_beginning_ends_between_words_and_never_within_a_character():
    assert beginning("short") == "short"
    assert beginning("word " * 50) == ("word " * 19).strip()
    assert len(beginning("é" * 99).encode()) == TEXT_BYTES
    assert beginning("a" + "é" * 99) == "a" + "é" * 49


def test_an_empty_benchmark_is_refused():
    with pytest.raises(StudyError, match=r"definition-choice is empty: 3 held-out .* 'dictionary' .* evaluation\.definition_domain"):
        make_items(DEFINITION, of(DEFINITION)[:3], seed=0, max_items=10)


def test_a_benchmark_of_an_absent_domain_is_left_out_and_said_so(study_folder, capsys):
    paths = write_benchmarks(EvaluationConfig(title_domain="wiki"), 0, documents(), "<eot>")
    assert [path.name for path in paths] == ["definition-choice.yaml"]
    assert "title-choice is left out: no held-out document is of domain 'wiki'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Item(id="i1", title="t", text="x", choices=("a", "b"), answer=2), "item 'i1' has no right answer"),
        (Item(id="i2", title="t", text="x", choices=("a", " "), answer=0), "item 'i2' has an empty choice"),
    ],
)
def test_an_item_that_cannot_be_asked_is_refused(study_folder, item, message):
    with pytest.raises(StudyError, match=message):
        write_task("definition-choice", [item], "<eot>")
    assert not list(study_folder.glob(".assay/**/*.jsonl"))


def test_no_items_are_refused(study_folder):
    with pytest.raises(StudyError, match="title-choice is empty"):
        write_task("title-choice", [], "<eot>")


def test_a_written_task_is_an_ordinary_one_of_lm_eval(study_folder):
    (path,) = write_benchmarks(EvaluationConfig(title_domain=None, items_per_benchmark=5), 0, documents(), "<eot>")
    task = yaml.safe_load(path.read_text())
    lines = (study_folder / task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()
    assert task["task"] == "definition-choice" and task["description"] == "<eot>"
    assert len([Item.model_validate(json.loads(line)) for line in lines]) == 5
