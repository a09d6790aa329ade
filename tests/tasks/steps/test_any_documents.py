"""Every step that a recipe may name, on arbitrary, empty, hostile and gigantic documents: it ends in time that grows with the text, and each
document is kept or removed for a reason. A new step is among them once it is registered and has its cases in `tests/golden/step_cases.py`."""

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from models.frozen import StudyError
from tasks import layout
from tasks.steps.base import StepConfig, StepContext
from tasks.steps.pipeline import run_steps
from tests.conftest import PROJECT
from tests.golden.step_cases import CASES
from tests.golden.test_steps import STEPS, one_after_the_other, step_of
from tests.tasks.steps.some_documents import ANY_TEXTS, HOSTILE_PATTERNS, documents

GIGANTIC_BYTES = 20_000_000
NOISE_SECONDS = 0.1  # a busy machine takes as much for nothing
ALL = {"max_cluster_share": 1, "max_removed": 1, "max_removed_of_source": 1}  # what stops a recipe is another's test


@pytest.fixture(autouse=True)
def archives(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "ARCHIVES", PROJECT / layout.ARCHIVES)


def cases(name: str) -> list[StepConfig]:
    fields = STEPS[name].model_fields
    return [step_of(name, {key: value for key, value in ALL.items() if key in fields} | case) for case in CASES[name]]


def corpus(texts: list[str]) -> pa.Table:
    """Each text is a document, in two domains and one that is skipped; metadata are as wild."""
    table = documents(texts, domain=[("web", "edited", "skipped")[i % 3] for i in range(len(texts))])
    for name, shift in (("url", 1), ("date", 2), ("license", 3)):
        values = pa.array([(texts[shift:] + texts[:shift])[i][:100] or None for i in range(len(texts))], pa.string())
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    for name, counted in (("cluster_size", 1), ("size_documents", 10), ("group_documents", 100)):
        table = table.append_column(name, pa.repeat(pa.scalar(counted, pa.int64()), len(texts)))
    return table.append_column("score", pa.array([i / 10 if i % 4 else None for i in range(len(texts))], pa.float32()))


def run(step: StepConfig, table: pa.Table) -> None:
    """Takes the documents through the step as a recipe does, in two shards, and checks what comes out. A step may refuse what it can't do."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        half = table.num_rows // 2
        shards = [table.slice(0, half), table.slice(half)]
        paths = [directory / f"{number}.parquet" for number in range(2)]
        for shard, path in zip(shards, paths, strict=True):
            pq.write_table(shard, path)
        try:
            ran = run_steps((step,), paths, StepContext(0, "fuzz", directory), [directory / "step"], one_after_the_other)
        except StudyError:
            return
        kept, removed = ([pq.read_table(path) for path in paths] for paths in (ran.kept, ran.removed[0]))
        ids = [id for part in (*kept, *removed) for id in part["id"].to_pylist()]
        assert sorted(ids) == sorted(table["id"].to_pylist())
        assert all(part["reason"].null_count == 0 for part in removed)
        assert all(set(step.annotations().names) <= set(part.column_names) for part in kept)
        for part in (*kept, *removed):
            part.validate(full=True)


@pytest.mark.parametrize("name", STEPS)
def test_every_document_is_kept_or_removed_for_a_reason(name: str):
    steps = cases(name)

    @settings(deadline=None, max_examples=8)
    @given(ANY_TEXTS)
    def check(texts: list[str]) -> None:
        for step in steps:
            run(step, corpus([*texts, "", *texts[:1]]))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_hostile_documents_take_linear_time(name: str):
    """Eight times the text may take sixteen times as long."""
    step = cases(name)[0]
    for pattern in HOSTILE_PATTERNS:
        short, long = (cpu_seconds(step, [pattern * (size // len(pattern.encode()))] * 3) for size in (20_000, 160_000))
        assert long < 16 * (short + NOISE_SECONDS), f"{pattern!r}: {short:.2f} s, then {long:.2f} s"


@pytest.mark.slow
@pytest.mark.patient  # ratios of times, which others on the machine disturb
@pytest.mark.parametrize("name", STEPS)
def test_a_gigantic_line_takes_linear_time(name: str):
    """Four times the text, which no longer fits into the processor's caches, may take twelve times as long."""
    step = cases(name)[0]
    small, large = (
        cpu_seconds(step, ["a" * (num_bytes // 2) + " to and fro" * (num_bytes // 22), "Another one."])
        for num_bytes in (GIGANTIC_BYTES // 4, GIGANTIC_BYTES)
    )
    assert large < 12 * small + NOISE_SECONDS, f"{small:.2f} s, then {large:.2f} s"


def cpu_seconds(step: StepConfig, texts: list[str]) -> float:
    began = time.process_time()
    run(step, corpus(texts))
    return time.process_time() - began
