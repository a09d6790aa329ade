"""Documents to try steps on, and what every step owes."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA
from tasks.steps.base import StepConfig, StepContext, StepOutcome
from tasks.steps.pipeline import run_step

CONTEXT = StepContext(seed=0, recipe="test", directory=Path())
AWKWARD = " \n\t\r\x0b\x0c\x85\u2028\u3000\u00a0.!?…-*#{[]}aé中\u0301\U0001f98a"
ANY_TEXTS = st.lists(st.text(max_size=200) | st.text(alphabet=AWKWARD, max_size=200), min_size=1, max_size=8)


def on_any_texts(test):
    """Runs a test on lists of arbitrary and of awkward texts."""
    return settings(deadline=None, max_examples=40)(given(ANY_TEXTS)(test))


# one character or pattern over and over, and what regular expressions dislike
HOSTILE_PATTERNS = [
    " ",
    "\n",
    " \n",
    "a",
    "a ",
    "a\n",
    "\u0301",
    "\r",
    ".",
    "[",
    "{",
    "é ",
    "\u3000",
    "…",
    "- \n",
    "</s> ",
    "__label__x ",
    "\x00",
    "\U0001f98a",
]


def documents(texts: list[str], domain: str | list[str] = "d", source: str | list[str] = "s", lang: str | None = "en", **columns: Any) -> pa.Table:
    domains, sources = ([value] * len(texts) if isinstance(value, str) else value for value in (domain, source))
    rows = [
        {"id": f"{s}#{i:05d}", "text": text, "source": s, "domain": d, "lang": lang}
        for i, (text, d, s) in enumerate(zip(texts, domains, sources, strict=True))
    ]
    table = pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def apply(step: StepConfig, table: pa.Table, context: StepContext = CONTEXT, state: Any = None) -> StepOutcome:
    """Applies a step as the pipeline does, and checks that no document is lost, changed places or came without its columns."""
    kept, removed = run_step(step, table, state, context)
    names = [*table.column_names, *(name for name in step.annotations().names if name not in table.column_names)]
    assert kept.column_names == names
    assert removed.schema == REMOVED_SCHEMA
    ids = table["id"].to_pylist()
    assert [id for id in ids if id in set(kept["id"].to_pylist())] == kept["id"].to_pylist()
    assert sorted(kept["id"].to_pylist() + removed["id"].to_pylist()) == sorted(ids)
    assert removed["reason"].null_count == 0
    kept.validate(full=True)
    removed.validate(full=True)
    return StepOutcome(kept, removed)


def reasons(outcome: StepOutcome) -> list[str]:
    return outcome.removed["reason"].to_pylist()


def assert_linear(step: StepConfig, pattern: str) -> None:
    """Twenty times the text must not take a hundred times as long."""
    seconds = []
    for num_bytes in (100_000, 2_000_000):
        table = documents([pattern * (num_bytes // len(pattern.encode()))])
        began = time.process_time()
        apply(step, table)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 100 * max(seconds[0], 0.01), f"{pattern!r}: {seconds}"
