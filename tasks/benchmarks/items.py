"""Items of the platform's own choices, from held-out documents alone.

A document of these benchmarks is a title (or headword), a blank line, and a text. An item is one such document and three others: whose text, or
which title, belongs together?
"""

import random
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from models.frozen import Frozen
from tasks import layout
from tasks.benchmarks.task_folder import ChoiceItem
from tasks.documents import read_shards

NUM_CHOICES = 4
TEXT_BYTES = 100  # of a text's beginning: enough to say what it is about; what follows is nearly as likely under any title
NEIGHBOURS = 16  # distractors are drawn from so many entries of the most similar length


class Document(NamedTuple):
    """A held-out document."""

    id: str
    domain: str
    text: str
    lang: str | None = None
    date: str | None = None


class TitleItem(ChoiceItem):
    """Of a held-out document."""

    title: str
    text: str  # its beginning


class ChoiceBenchmark(Frozen):
    name: str  # of the lm-eval task and of its template beside this file
    choose: Literal["title", "text"]
    setting: str  # that names its domains


def heldout_documents() -> list[Document]:
    """All of them, by id, whatever the number of shards."""
    tables = read_shards(layout.HELDOUT, Document._fields)
    return sorted(Document(**row) for table in tables for row in table.to_pylist())


def by_language(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Documents by the suffix of their benchmark's name: "-fr" for French, none for English and for an unknown language."""
    groups: dict[str, list[Document]] = {}
    for document in documents:
        lang = document.lang or "en"
        groups.setdefault("" if lang == "en" else "-" + re.sub("[^a-z0-9]+", "-", lang.lower()), []).append(document)
    return dict(sorted(groups.items()))


def make_items(benchmark: ChoiceBenchmark, language: str, documents: Iterable[Document], seed: int, max_items: int) -> list[TitleItem]:
    """Items drawn by `seed` from documents of one language; none when too few are a title and a text. Distractors are titles or texts of other
    held-out documents, of similar length; right answers are equally often at each position (to within one)."""
    entries = sorted(entries_of(documents), key=lambda entry: (len(getattr(entry, benchmark.choose).encode()), entry.id))
    if len(entries) < NUM_CHOICES:
        return []
    chance = random.Random(f"{seed}/{benchmark.name}{language}")
    chosen = chance.sample(range(len(entries)), min(max_items, len(entries)))
    answers = [position % NUM_CHOICES for position in range(len(chosen))]
    chance.shuffle(answers)
    items = []
    for index, answer in zip(chosen, answers, strict=True):
        first = max(0, min(index - NEIGHBOURS // 2, len(entries) - NEIGHBOURS - 1))
        near = [entry for entry in entries[first : first + NEIGHBOURS + 1] if entry is not entries[index]]
        choices = [getattr(entry, benchmark.choose) for entry in chance.sample(near, NUM_CHOICES - 1)]
        choices.insert(answer, getattr(entries[index], benchmark.choose))
        items.append(TitleItem(**entries[index]._asdict(), choices=tuple(choices), answer=answer))
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
