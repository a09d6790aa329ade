import json

import pytest
import yaml

from models.frozen import StudyError
from tasks.benchmarks.config import EvaluationConfig
from tasks.benchmarks.items import Document
from tasks.benchmarks.own import write_benchmarks
from tests.tasks.evaluation_study import documents


def in_french() -> list[Document]:
    return [document._replace(id=f"{document.id}-fr", domain="foreign", lang="fr") for document in documents() if document.domain == "encyclopedia"]


def names(paths) -> list[str]:
    return [path.stem for path in paths]


def test_each_domain_and_language_is_asked_by_itself(study_folder):
    assert names(write_benchmarks(EvaluationConfig(), 0, documents() + in_french(), "<eot>")) == [
        "definition-choice",
        "title-choice",
        "title-choice-fr",
        "last-word-code",
        "last-word-dictionary",
        "last-word-encyclopedia",
        "last-word-foreign-fr",
    ]


def test_what_the_heldout_documents_cannot_ask_is_left_out_and_said_so(study_folder, capsys):
    spaceless = [Document(f"zh{i}", "foreign", "狗\n\n" + "狗喜歡在公園裡跑來跑去。" * 9, "zh") for i in range(3)]
    config = EvaluationConfig(title_domains=("encyclopedia", "foreign"), definition_domains=("words",), last_word_domains=("foreign", "nowhere"))
    assert names(write_benchmarks(config, 0, documents() + spaceless, "<eot>")) == ["title-choice"]
    said = capsys.readouterr().out
    assert "definition-choice is left out: no held-out document is of domain 'words' (evaluation.definition_domains)" in said
    assert "title-choice-zh is left out: fewer than 4 of 3 documents" in said
    assert "last-word-foreign-zh is left out: none of 3 documents has a passage of 10 words between spaces" in said
    assert "last-word-nowhere is left out: no held-out document is of domain 'nowhere'" in said


def test_an_empty_benchmark_is_refused(study_folder):
    few = [document for document in documents() if document.domain != "dictionary" or document.id < "dictionary:03"]
    with pytest.raises(
        StudyError, match=r"definition-choice is empty: of 3 held-out documents of \['dictionary'\] .* set evaluation\.definition_dom"
    ):
        write_benchmarks(EvaluationConfig(), 0, few, "<eot>")


@pytest.mark.parametrize("suite", ["core", "custom"])
def test_other_suites_ask_nothing_of_heldout_documents_but_bits_per_byte(study_folder, suite):
    write_benchmarks(EvaluationConfig(), 0, documents(), "<eot>")
    assert write_benchmarks(EvaluationConfig(suite=suite), 0, documents(), "<eot>") == []
    assert not list(study_folder.glob("data/items/own/*"))


def test_written_tasks_are_ordinary_ones_of_lm_eval_and_the_same_each_time(study_folder):
    path, *_ = write_benchmarks(EvaluationConfig(items_per_benchmark=5), 0, documents(), "<eot>")
    task = yaml.safe_load(path.read_text())
    lines = (study_folder / task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()
    assert task["task"] == "definition-choice" and task["description"] == "<eot>"
    assert len([json.loads(line)["choices"] for line in lines]) == 5
    first = {path.name: path.read_bytes() for path in path.parent.glob("*")}
    write_benchmarks(EvaluationConfig(items_per_benchmark=5), 0, documents(), "<eot>")
    assert {path.name: path.read_bytes() for path in path.parent.glob("*")} == first
