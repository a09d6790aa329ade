from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from tasks.steps.base import StepContext
from tasks.steps.cleaning import Normalize
from tasks.steps.gopher_quality import GopherQuality
from tasks.steps.pipeline import run_steps
from tests.golden.test_steps import one_after_the_other
from tests.tasks.steps.some_documents import documents

SHORT, LONG = "too short", "the river and its old bridge have stood with that quiet town of mills since people began to trade wool " * 4


def run(texts: list[str], directory: Path, source: str | list[str] = "s", **gates: Any) -> None:
    quality = GopherQuality.model_validate({"step": "gopher-quality", **gates})
    run_on(documents(texts, source=source), quality, directory)


def run_on(table: pa.Table, step: Any, directory: Path) -> None:
    shards = [directory / f"{shard}.parquet" for shard in range(2)]
    for shard, path in enumerate(shards):
        pq.write_table(table.slice(shard * 15, 15 if shard == 0 else None), path)
    run_steps([step], shards, StepContext(0, "x", directory), [directory / "step"], one_after_the_other)


def test_more_than_the_share_of_everything_is_refused_with_reasons_and_documents(tmp_path):
    with pytest.raises(
        StudyError,
        match=r"^Recipe 'x', step 1: gopher-quality takes away 21 of 40 documents and \d+% of the bytes of the corpus, more than its max_removed 0.5 "
        r"allows \(too few words 21, such as s#00000 'too short' and s#00001 'too short'\)\. Loosen",
    ):
        run([SHORT] * 21 + [LONG] * 19, tmp_path)


def test_more_than_the_share_of_one_source_is_refused(tmp_path):
    sources = ["poor"] * 20 + ["rich"] * 40
    texts = [SHORT] * 16 + [LONG] * 44
    with pytest.raises(StudyError, match=r"takes away 16 of 20 documents .* of source 'poor', more than its max_removed_of_source 0.75 allows"):
        run(texts, tmp_path, sources)


def test_bytes_count_where_few_documents_hold_most(tmp_path):
    with pytest.raises(StudyError, match=r"takes away 2 of 40 documents and 9\d% of the bytes of the corpus"):
        run([LONG * 1000] * 2 + [LONG] * 38, tmp_path, max_words=1000)


def test_a_step_that_rewrites_the_text_away_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"takes away 0 of 40 documents and 100% of the bytes of the corpus, .*\(it rewrites them\)"):
        run_on(documents(["a" + "\n" * 1000] * 40), Normalize(step="normalize"), tmp_path)


@pytest.mark.parametrize(
    "texts, gates",
    [
        ([SHORT] * 20 + [LONG] * 20, {}),  # just as much as is allowed
        ([SHORT] * 30 + [LONG] * 10, {"max_removed": 0.95}),
        ([SHORT] * 19, {}),  # of so few nothing is implausible
    ],
)
def test_what_is_allowed_passes(tmp_path, texts, gates):
    run(texts, tmp_path, **gates)
