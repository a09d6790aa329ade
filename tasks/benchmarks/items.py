"""Items of the platform's own benchmarks, from held-out documents alone, as lm-eval tasks on disk: `<name>.yaml` beside `<name>.jsonl`.

A document of these benchmarks is a title (or headword), a blank line, and a text. An item is one such document and three others: whose text, or
which title, belongs together?
"""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.atomic import replace_file
from tasks.benchmarks.config import EvaluationConfig
from tasks.documents import read_shards

BENCHMARKS = layout.LOCAL / "benchmarks"
NUM_CHOICES = 4
TEXT_BYTES = 100  # of a text's beginning: enough to say what it is about; what follows is nearly as likely under any title
NEIGHBOURS = 16  # distractors are drawn from so many entries of the most similar length


class Document(NamedTuple):
    """A held-out document."""

    id: str
    domain: str
    text: str


class Item(Frozen):
    id: str  # of the held-out document
    title: str
    text: str  # its beginning
    choices: tuple[str, ...]
    answer: int  # index of the right choice


class ChoiceBenchmark(Frozen):
    name: str  # of the lm-eval task, in the file of that name beside this one
    choose: Literal["title", "text"]
    domain: str
    setting: str  # that names the domain


def heldout_documents() -> list[Document]:
    """All of them, by id, whatever the number of shards."""
    tables = read_shards(layout.HELDOUT, Document._fields)
    return sorted(Document(**row) for table in tables for row in table.to_pylist())


def write_benchmarks(evaluation: EvaluationConfig, seed: int, documents: Sequence[Document], end_of_text: str) -> list[Path]:
    """Writes the study's own benchmarks as lm-eval tasks; the same study, the same bytes. Benchmarks of a domain that no document has are left out,
    and said so.

    Raises:
        StudyError: when a domain is there, but too few of its documents are a title and a text.
    """
    definition = ChoiceBenchmark(name="definition-choice", choose="text", domain=evaluation.definition_domain or "", setting="definition_domain")
    title = ChoiceBenchmark(name="title-choice", choose="title", domain=evaluation.title_domain or "", setting="title_domain")
    paths = []
    for benchmark in (definition, title):
        of_domain = [document for document in documents if document.domain == benchmark.domain]
        if of_domain:
            items = make_items(benchmark, of_domain, seed, evaluation.items_per_benchmark)
            paths.append(write_task(benchmark.name, items, end_of_text))
        else:
            print(f"{benchmark.name} is left out: no held-out document is of domain '{benchmark.domain}' (evaluation.{benchmark.setting}).")
    return paths


def make_items(benchmark: ChoiceBenchmark, documents: Iterable[Document], seed: int, max_items: int) -> list[Item]:
    """Items drawn by `seed`. Distractors are titles or texts of other held-out documents, of similar length; right answers are equally often at
    each position (to within one)."""
    entries = sorted(entries_of(documents), key=lambda entry: (len(getattr(entry, benchmark.choose).encode()), entry.id))
    if len(entries) < NUM_CHOICES:
        raise StudyError(
            f"{benchmark.name} is empty: {len(entries)} held-out documents of domain '{benchmark.domain}' are a title, a blank line and a text, and"
            f" {NUM_CHOICES} are needed; hold out more (heldout.share) or set evaluation.{benchmark.setting} to another domain, or to null."
        )
    chance = random.Random(f"{seed}/{benchmark.name}")
    chosen = chance.sample(range(len(entries)), min(max_items, len(entries)))
    answers = [position % NUM_CHOICES for position in range(len(chosen))]
    chance.shuffle(answers)
    items = []
    for index, answer in zip(chosen, answers, strict=True):
        first = max(0, min(index - NEIGHBOURS // 2, len(entries) - NEIGHBOURS - 1))
        near = [entry for entry in entries[first : first + NEIGHBOURS + 1] if entry is not entries[index]]
        choices = [getattr(entry, benchmark.choose) for entry in chance.sample(near, NUM_CHOICES - 1)]
        choices.insert(answer, getattr(entries[index], benchmark.choose))
        items.append(Item(**entries[index]._asdict(), choices=tuple(choices), answer=answer))
    return items


class Entry(NamedTuple):
    id: str
    title: str
    text: str


def entries_of(documents: Iterable[Document]) -> list[Entry]:
    """The documents that are a title, a blank line and a text, with the text's beginning; none with the title or the text of an earlier one."""
    entries: list[Entry] = []
    seen: set[str] = set()
    for document in documents:
        title, _, text = document.text.partition("\n\n")
        entry = Entry(document.id, title.strip(), beginning(text.strip()))
        if entry.title and "\n" not in entry.title and entry.text and seen.isdisjoint({entry.title.casefold(), entry.text.casefold()}):
            seen |= {entry.title.casefold(), entry.text.casefold()}
            entries.append(entry)
    return entries


def beginning(text: str) -> str:
    """At most TEXT_BYTES of UTF-8, cut between words where there is a space."""
    encoded = text.encode()
    if len(encoded) <= TEXT_BYTES:
        return text
    cut = encoded[:TEXT_BYTES].decode(errors="ignore")
    return cut.rsplit(maxsplit=1)[0] if " " in cut.strip() else cut


def write_task(name: str, items: Sequence[Item], end_of_text: str) -> Path:
    """Writes the task's YAML and its items. The path in it is relative to the study's folder, where
    `lm_eval --tasks .assay/benchmarks/<name>.yaml --model hf --model_args pretrained=<run>/model` gives the same numbers.

    Raises:
        StudyError: on no items, an item without a right answer, or an empty choice.
    """
    if not items:
        raise StudyError(f"{name} is empty: give it items, or leave it out.")
    for item in items:
        if not 0 <= item.answer < len(item.choices):
            raise StudyError(f"{name}: item '{item.id}' has no right answer ({item.answer} of {len(item.choices)} choices): mend or remove it.")
        if not all(choice.strip() for choice in item.choices):
            raise StudyError(f"{name}: item '{item.id}' has an empty choice: mend or remove it.")
    data = BENCHMARKS / f"{name}.jsonl"
    with replace_file(data) as partial:
        partial.write_text("".join(json.dumps(item.model_dump(), ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    task = yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
    task["description"] = end_of_text  # a document starts behind it, in training too
    task["dataset_kwargs"] = {"data_files": {"test": str(data)}, "cache_dir": str(BENCHMARKS / "cache")}
    path = BENCHMARKS / f"{name}.yaml"
    with replace_file(path) as partial:
        partial.write_text(yaml.safe_dump(task, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
