import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.steps import merge
from tests.tasks.steps.some_documents import documents


@pytest.mark.parametrize("num_shards, at_once", [(1, 64), (3, 64), (3, 2), (40, 64), (40, 3)])
def test_shards_become_one_stream_in_the_order_of_ids(num_shards: int, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(merge, "ROW_GROUP_DOCUMENTS", 7)
    monkeypatch.setattr(merge, "MERGED_AT_ONCE", at_once)
    table = documents([f"text {i}" for i in range(500)])
    shards: list[list[int]] = [[] for _ in range(num_shards)]
    for row in random.Random(0).sample(range(500), 500):
        shards[row % 3 % num_shards].append(row)  # of 40 shards most are empty
    paths = [tmp_path / f"{number}.parquet" for number in range(num_shards)]
    for rows, path in zip(shards, paths, strict=True):
        merge.write_sorted(table.take(pa.array(rows, pa.int64())), path)
    assert pq.ParquetFile(paths[0]).num_row_groups > 20
    tables = list(merge.merged_by_id(paths))
    assert pa.concat_tables(tables).equals(table)
    assert len(tables) > 20
    assert not list(merge.merged_by_id([]))
    assert set(tmp_path.iterdir()) == set(paths)


def test_long_documents_are_in_small_row_groups(tmp_path: Path):
    merge.write_sorted(documents(["long " * 100_000] * 6 + ["short"] * 6), tmp_path / "shard.parquet")
    assert pq.ParquetFile(tmp_path / "shard.parquet").num_row_groups == 3
