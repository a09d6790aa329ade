import json

import pytest
import yaml

from models.frozen import StudyError
from tasks import layout
from tasks.items import task_files, write_items
from tasks.study import load_study
from tests.tasks import evaluation_study


@pytest.fixture
def study(study_folder):
    """With a folder of two files and a single file beside the platform's own items."""
    evaluation_study.write_heldout()
    evaluation_study.tokenizer().save_pretrained(layout.TOKENIZER)
    lines = [json.dumps({"question": f"ka {i}", "choices": ["so", "mi"], "answer": i % 2}) for i in range(4)]
    for path in ("sums/a.jsonl", "sums/b.jsonl", "one.jsonl"):
        (study_folder / path).parent.mkdir(exist_ok=True)
        (study_folder / path).write_text("\n".join(lines))
    values = yaml.safe_load((study_folder / "params.yaml").read_text())
    values["evaluation"]["item_files"] = {"sums": "sums", "one": "one.jsonl"}
    (study_folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_study()


def test_files_are_benchmarks_by_configuration_alone(study):
    for name in ("own", "sums", "one"):
        write_items(study, name)
    assert [str(path) for path in task_files(study)][-2:] == ["data/items/sums/sums.yaml", "data/items/one/one.yaml"]
    assert yaml.safe_load((layout.ITEMS / "sums/sums.yaml").read_text())["task"] == ["sums-a", "sums-b"]
    one = yaml.safe_load((layout.ITEMS / "one/one.yaml").read_text())
    assert (one["description"], one["target_delimiter"], one["fewshot_split"]) == ("<|endoftext|>", " ", "test")


def test_items_that_were_not_written_are_one_sentence(study):
    write_items(study)
    with pytest.raises(StudyError, match=r"There is no data/items/sums/sums.yaml: run the stages that write items"):
        task_files(study)


def test_an_unknown_name_is_one_sentence(study):
    with pytest.raises(StudyError, match="item_files has no 'two': it has sums, one"):
        write_items(study, "two")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "one is empty: give it items, or leave it out"),
        ({"question": "q", "choices": ["a", "b"], "answer": 5}, r"one: item '1' has no right answer \(-1 of 2 choices\)"),
        ({"question": "q", "choices": ["a", " "], "answer": 0}, "one: item '1' has an empty choice"),
        ({"question": "q", "choices": ["a", "a"], "answer": 0}, "one: item '1' has the same choice twice"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "one: item '1' has one choice only"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_leaves_the_last_good_items(study, study_folder, line, message):
    (path,) = write_items(study, "one")
    before = path.with_suffix(".jsonl").read_bytes()
    (study_folder / "one.jsonl").write_text(json.dumps(line) if line else "")
    with pytest.raises(StudyError, match=message):
        write_items(study, "one")
    assert path.with_suffix(".jsonl").read_bytes() == before


def test_own_is_no_name_for_items_of_a_file(study_folder):
    text = (study_folder / "params.yaml").read_text()
    (study_folder / "params.yaml").write_text(text.replace("item_files: {}", "item_files: {own: x.jsonl}"))
    with pytest.raises(StudyError, match="'own' is where the platform's own items are"):
        load_study()
