"""What a step makes of documents does not depend on how they are cut into shards, nor on the order of these."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.steps.base import StepContext
from tasks.steps.merge import merged_by_id
from tasks.steps.pipeline import run_steps
from tests.golden.step_cases import CASES, COUNTED_STEPS, corpus, counted_corpus
from tests.golden.test_steps import STEPS, folder, one_after_the_other, step_of  # noqa: F401

CUTS = {"one": [], "two": [100], "uneven": [1, 3, 90, 91, 150], "small": range(7, len(corpus()), 7)}


def outcome(name: str, directory: Path, cuts: Sequence[int], backwards: bool) -> tuple[pa.Table, pa.Table | None, list[dict]]:
    directory.mkdir()
    table = counted_corpus() if name in COUNTED_STEPS else corpus()
    shards = []
    for start, end in pairwise([0, *cuts, len(table)]):
        shards.append(directory / f"{start:06d}.parquet")
        pq.write_table(table.slice(start, end - start), shards[-1])
    step = step_of(name, CASES[name][-1])
    ran = run_steps((step,), shards[::-1] if backwards else shards, StepContext(0, "golden", directory), [directory / "step"], one_after_the_other)
    removed = pa.concat_tables(merged_by_id(ran.removed[0])) if ran.removed[0] else None
    return pa.concat_tables(merged_by_id(ran.kept)), removed, ran.records


@pytest.mark.parametrize("name", STEPS)
def test_a_step_does_the_same_to_documents_however_they_are_cut(name: str, tmp_path: Path):
    kept, removed, records = outcome(name, tmp_path / "one", CUTS["one"], False)
    assert kept["id"].to_pylist() == sorted(kept["id"].to_pylist())
    for cut, backwards in [("two", True), ("uneven", False), ("small", True)]:
        again = outcome(name, tmp_path / cut, CUTS[cut], backwards)
        assert again[0].equals(kept)
        assert again[1] is removed or (removed is not None and removed.equals(again[1]))
        assert again[2] == records
