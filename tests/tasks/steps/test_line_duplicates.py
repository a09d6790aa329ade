from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.steps.base import StepContext
from tasks.steps.line_duplicates import LineDuplicates
from tests.tasks.steps.some_documents import HOSTILE_PATTERNS, apply, documents, on_any_texts

MENU, NOTICE = "Home | About | Login", "This page uses cookies."


def run(directory: Path, texts: list[str], shards: int = 2, **settings) -> tuple[dict[int, str], dict[int, str | None], list[int], dict]:
    """Texts kept, lines taken out and documents removed, by row; and the record."""
    step = LineDuplicates.model_validate({"step": "line-duplicates", **settings})
    context = StepContext(seed=0, recipe="test", directory=directory)
    table = documents(texts)
    cut = len(texts) // shards + 1
    parts = [table.slice(start, cut) for start in range(0, len(texts), cut)]
    state = step.reduce([step.map(part, replace(context, shard=number)) for number, part in enumerate(parts)], context)
    outcomes = [apply(step, part, context, state) for part in parts]
    kept, removed = (pa.concat_tables(tables) for tables in zip(*outcomes, strict=True))
    rows = [int(id.split("#")[1]) for id in kept["id"].to_pylist()]
    texts_by_row, lines_by_row = (dict(zip(rows, kept[name].to_pylist(), strict=True)) for name in ("text", "removed_lines"))
    return texts_by_row, lines_by_row, [int(id.split("#")[1]) for id in removed["id"].to_pylist()], step.record(state)


def test_lines_of_more_documents_than_allowed_go_and_stay_beside_the_text(tmp_path):
    texts = [f"{MENU}\n\nstory {i}\nits end\n{NOTICE}" if i < 7 else f"{MENU}\nown {i}" for i in range(10)] + [MENU, "alone\nalone\nalone\n\n"]
    kept, gone, removed, record = run(tmp_path, texts)
    assert kept == {**{i: f"story {i}" for i in range(7)}, **{i: f"own {i}" for i in range(7, 10)}, 11: "alone\nalone\nalone\n\n"}
    assert gone == {**dict.fromkeys(range(7), f"{MENU}\n\nits end\n{NOTICE}"), **dict.fromkeys(range(7, 10), MENU), 11: None}
    assert removed == [10]
    assert record == {"distinct": 14, "removed": 3, "documents_of_most_frequent": 11}


def test_as_many_documents_as_are_allowed_may_share_a_line(tmp_path):
    texts = [f"{MENU}\nown {i}" for i in range(6)]
    assert run(tmp_path, texts)[0] == dict(enumerate(texts))
    assert run(tmp_path, texts, max_documents=5)[0] == {i: f"own {i}" for i in range(6)}


def test_paragraphs_go_whole_and_their_lines_stay_elsewhere(tmp_path):
    texts = [f"the same\nin both\n\nfirst {i}\n\nthe same\nbut not here {i}" for i in range(2)]
    kept, *_ = run(tmp_path, texts, unit="paragraph", max_documents=1)
    assert kept == {i: f"first {i}\n\nthe same\nbut not here {i}" for i in range(2)}


def test_what_two_steps_took_out_stays(tmp_path):
    step = LineDuplicates.model_validate({"step": "line-duplicates", "max_documents": 1})
    table = documents(["a\nb", "a\nc"], removed_lines=pa.array(["earlier", None]))
    context = StepContext(seed=0, recipe="test", directory=tmp_path)
    kept, _ = apply(step, table, context, step.reduce([step.map(table, context)], context))
    assert (kept["text"].to_pylist(), kept["removed_lines"].to_pylist()) == (["b", "c"], ["earlier\na", "a"])


def test_any_texts_lose_nothing_but_shared_lines(tmp_path):
    @on_any_texts
    def check(texts):
        kept, gone, removed, _ = run(tmp_path, texts + texts[:2], max_documents=1)
        assert sorted([*kept, *removed]) == list(range(len(texts) + len(texts[:2])))
        for row, text in kept.items():
            lines = [line for part in (text, gone[row] or "") for line in part.split("\n") if line]
            assert sorted(lines) == sorted(line for line in (texts + texts[:2])[row].split("\n") if line)

    check()


@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_hostile_documents(pattern, tmp_path):
    kept, _, removed, _ = run(tmp_path, [pattern * 100_000, "a text like others", "", pattern * 100_000], max_documents=1)
    assert sorted([*kept, *removed]) == [0, 1, 2, 3]
    assert kept[1] == "a text like others"
