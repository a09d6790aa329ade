import json
from pathlib import Path

import pytest

from models.frozen import StudyError
from tasks.benchmarks.item_files import ItemFile, item_files


def big_bench(**changes) -> str:
    examples = [
        {"input": "1 + 1 =", "target_scores": {"2": 1, "3": 0, "5": 0}},
        {"input": "2 + 2 =", "target_scores": {"4": 1.0, "22": 0.0}, "comment": "even"},
    ]
    return json.dumps({"name": "sums", "metrics": ["multiple_choice_grade"], "examples": examples} | changes)


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes, name: str = "mine.jsonl") -> ItemFile:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return ItemFile("mine", tmp_path / name)

    return read


def test_a_big_bench_task_is_asked_as_big_bench_asks(read):
    file = read(big_bench(task_prefix="Sums.\n"), "task.json")
    assert (file.prefix, file.delimiter) == ("Sums.\n", " ")
    first, second = file.items
    assert sorted(first.choices) == ["2", "3", "5"] and first.choices[first.answer] == "2"
    assert first.prompt == "\nQ: 1 + 1 =" + "".join(f"\n  choice: {choice}" for choice in first.choices) + "\nA:"
    assert second.choices[second.answer] == "4"


def test_what_a_big_bench_task_says_about_its_prompt_is_done(read):
    changes = {"example_input_prefix": "Sum: ", "example_output_prefix": "\nis", "append_choices_to_input": False}
    file = read(big_bench(**changes), "task.json")
    assert (file.prefix, file.delimiter, file.items[0].prompt) == ("", "", "Sum: 1 + 1 =\nis")


def test_right_choices_are_not_always_the_first(read):
    examples = [{"input": str(i), "target_scores": {"yes": 1, "no": 0, "maybe": 0}} for i in range(60)]
    answers = [item.answer for item in read(big_bench(examples=examples), "task.json").items]
    assert all(10 < answers.count(position) < 30 for position in range(3))


def test_examples_with_several_right_choices_are_left_out_and_said_so(read, capsys):
    examples = [{"input": "a", "target_scores": {"x": 1, "y": 1}}, {"input": "b", "target_scores": {"x": 1, "y": 0}}]
    assert [item.id for item in read(big_bench(examples=examples), "task.json").items] == ["1"]
    assert "1 of 2 examples are left out: several of their choices are equally right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ({"question": "q", "choices": ["a", "b"], "answer": 1}, 1),
        ({"prompt": "q ", "choices": ["a", "b"], "answer": "b"}, 1),
        ({"query": "q", "options": ["x", "y"], "answer": "B"}, 1),
        ({"text": "q", "endings": ["x", "y"], "label": "1"}, 1),
        ({"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}, 1),
        ({"question": "q", "choices": {"A": "x", "B": "y"}, "answer": "B"}, 1),
        ({"question": "q", "choices": ["1", "0"], "answer": "0"}, 1),  # its text, not its position
        ({"question": "q", "choices": ["x", "y"], "answer": 2}, -1),
        ({"question": "q", "choices": ["x", "y"], "answer": "z"}, -1),
        ({"question": "q", "choices": ["x", "y"], "answer": True}, -1),
    ],
)
def test_json_lines_under_the_usual_names(read, line, answer):
    (item,) = read(json.dumps(line) + "\n\n").items
    assert (item.prompt, item.answer) == ("q", answer)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.jsonl", '{"question": "q"', r"mine.jsonl \(line 1\) is not JSON"),
        ("mine.jsonl", '["q"]', r"mine.jsonl \(line 1\) is not a JSON object"),
        ("mine.jsonl", '{"question": "q", "answer": 0}', "item 1 has none of the keys choices, options, endings; it has question, answer"),
        ("mine.jsonl", '{"question": "q", "choices": [1, 2], "answer": 0}', "item 1 must have a question that is a text"),
        ("mine.jsonl", b"\xff\xfe", "mine.jsonl is not UTF-8"),
        ("task.json", "{}", "task.json is not a BIG-bench task: it has no list of `examples`"),
        ("task.json", big_bench(examples=[{"input": "q", "target": "a"}]), "example 0 has no `input` or no `target_scores`"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(read, name, text, message):
    with pytest.raises(StudyError, match=message):
        read(text, name)


def test_a_folder_has_a_task_per_file(tmp_path):
    for place in ("add/task.json", "multiply/easy/task.json"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(big_bench())
    (tmp_path / "add/results.json").write_text("{}")
    (tmp_path / "words.jsonl").write_text('{"question": "q", "choices": ["a", "b"], "answer": 0}')
    assert [file.name for file in item_files("mine", tmp_path)] == ["mine-add", "mine-multiply-easy", "mine-words"]
    assert [file.name for file in item_files("mine", tmp_path / "add")] == ["mine"]
    with pytest.raises(StudyError, match=r"evaluation\.item_files\.mine: '.*nowhere' is neither a task.json nor a JSONL file, nor a folder"):
        item_files("mine", tmp_path / "nowhere")


def test_two_files_of_one_name_are_refused(tmp_path):
    for place in ("a-b.jsonl", "a/b.jsonl"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Path(tmp_path / place).write_text('{"question": "q", "choices": ["a", "b"], "answer": 0}')
    with pytest.raises(StudyError, match=r"two files of .* would both be called"):
        item_files("mine", tmp_path)
