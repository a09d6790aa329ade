"""Multiple-choice items from files: BIG-bench's task.json (arXiv 2206.04615), and JSON lines under the names that data sets commonly use."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.frozen import StudyError
from tasks.benchmarks.task_folder import ChoiceItem

# The first of these keys that a JSON line has.
PROMPT_KEYS = ("prompt", "question", "query", "input", "text", "context")
CHOICES_KEYS = ("choices", "options", "endings")
ANSWER_KEYS = ("answer", "answerKey", "label", "target", "gold")


class FileItem(ChoiceItem):
    prompt: str


class ItemFile:
    """Items of one file, and what lm-eval puts around them."""

    def __init__(self, name: str, path: Path):
        """Reads all items.

        Raises:
            StudyError: when the file is not what it is taken for, or an item has no question, choices or right answer.
        """
        self.name, self.path = name, path
        self.prefix, self.delimiter = "", " "
        self.items = list(self._big_bench() if path.suffix == ".json" else self._json_lines())

    def _json_lines(self) -> Iterator[FileItem]:
        for number, line in enumerate(self._text().split("\n"), 1):
            if line.strip():
                values = self._parse(line, f" (line {number})")
                if not isinstance(values, dict):
                    raise StudyError(f"{self.path} (line {number}) is not a JSON object: each line is one item.")
                yield self._item(values, number)

    def _item(self, values: Mapping[str, Any], number: int) -> FileItem:
        prompt, choices, answer = (self._first(values, keys, number) for keys in (PROMPT_KEYS, CHOICES_KEYS, ANSWER_KEYS))
        labels = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if isinstance(choices, dict) and "text" in choices and "label" in choices:  # as in ARC
            choices, labels = choices["text"], choices["label"]
        elif isinstance(choices, dict):
            choices, labels = list(choices.values()), list(choices)
        if not isinstance(choices, list) or not isinstance(prompt, str) or not all(isinstance(choice, str) for choice in choices):
            raise StudyError(f"{self.path}: item {number} must have a question that is a text, and choices that are a list of texts.")
        return FileItem(id=str(values.get("id", number)), prompt=prompt.rstrip(), choices=tuple(choices), answer=index_of(answer, choices, labels))

    def _first(self, values: Mapping[str, Any], keys: tuple[str, ...], number: int) -> Any:
        for key in keys:
            if values.get(key) is not None:
                return values[key]
        raise StudyError(f"{self.path}: item {number} has none of the keys {', '.join(keys)}; it has {', '.join(values) or 'no keys'}.")

    def _big_bench(self) -> Iterator[FileItem]:
        """The prompt is BIG-bench's own, choices listed in it unless the task says otherwise. Their order is drawn for each item: in many files the
        right one is the first."""
        task = self._parse(self._text(), "")
        examples = task.get("examples") if isinstance(task, dict) else None
        if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
            raise StudyError(f"{self.path} is not a BIG-bench task: it has no list of `examples`; a file of one item per line must end in .jsonl.")
        output = task.get("example_output_prefix", "\nA: ")
        self.prefix = task.get("task_prefix", "")
        self.delimiter = output[len(output.rstrip()) :]  # lm-eval counts white space before a choice to the choice
        ambiguous = 0
        for number, example in enumerate(examples):
            scores = example.get("target_scores")
            if not isinstance(scores, dict) or not isinstance(example.get("input"), str):
                raise StudyError(f"{self.path}: example {number} has no `input` or no `target_scores`: only multiple choice can be asked.")
            choices = sorted(scores)
            random.Random(f"{self.name}/{number}").shuffle(choices)
            best = [choice for choice in choices if scores[choice] == max(scores.values()) and scores[choice] > 0]
            if len(best) > 1:
                ambiguous += 1
                continue
            listed = task.get("append_choices_to_input", True)
            prefix = task.get("choice_prefix", "\n  choice: ")
            prompt = task.get("example_input_prefix", "\nQ: ") + example["input"] + "".join(prefix + choice for choice in choices if listed) + output
            answer = choices.index(best[0]) if best else -1
            yield FileItem(id=str(number), prompt=prompt.rstrip(), choices=tuple(choices), answer=answer)
        if ambiguous:
            print(f"{self.path}: {ambiguous} of {len(examples)} examples are left out: several of their choices are equally right.")

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise StudyError(f"{self.path} is not UTF-8: {error}.") from None

    def _parse(self, text: str, where: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise StudyError(f"{self.path}{where} is not JSON: {error}.") from None


def index_of(answer: Any, choices: list[str], labels: list[str]) -> int:
    """The right choice by its text, its label or its position; -1 when it is none of them."""
    if answer in choices:
        return choices.index(answer)
    if str(answer) in labels[: len(choices)]:
        return labels.index(str(answer))
    position = str(answer)
    return int(position) if position.isdecimal() and int(position) < len(choices) else -1


def item_files(name: str, path: Path) -> list[ItemFile]:
    """The files of a benchmark: one of its own name, or several of a folder, by their place in it.

    Raises:
        StudyError: when there are none.
    """
    if path.is_file():
        return [ItemFile(name, path)]
    found = sorted({*path.rglob("task.json"), *path.rglob("*.jsonl")}) or sorted(path.rglob("*.json"))
    if not found:
        raise StudyError(f"evaluation.item_files.{name}: '{path}' is neither a task.json nor a JSONL file, nor a folder with any.")
    if len(found) == 1:
        return [ItemFile(name, found[0])]
    names = [f"{name}-{within(path, file)}" for file in found]
    if len(set(names)) < len(names):
        raise StudyError(f"evaluation.item_files.{name}: two files of '{path}' would both be called as one of {names}: rename one.")
    return [ItemFile(name, file) for name, file in zip(names, found, strict=True)]


def within(folder: Path, file: Path) -> str:
    """A file's place as a task's name: arithmetic/easy/task.json is arithmetic-easy."""
    place = file.relative_to(folder)
    return "-".join((place.parent if place.name == "task.json" else place.with_suffix("")).parts) or "task"
