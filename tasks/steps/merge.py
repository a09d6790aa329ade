"""Shards whose documents are sorted by id, as one stream that is: the order of a corpus, whatever it was cut into on the way."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.atomic import replace_file

ROW_GROUP_DOCUMENTS = 1 << 10  # of the shards to merge: so many of each are in memory


def write_sorted(table: pa.Table, path: Path) -> None:
    """A shard that `merged_by_id` can read."""
    with replace_file(path) as partial:
        pq.write_table(table.sort_by("id"), partial, row_group_size=ROW_GROUP_DOCUMENTS)


def merged_by_id(shards: list[Path]) -> Iterator[pa.Table]:
    """Yields all rows in the order of their ids: in each round, those that come before all that is not yet read."""
    unread = [pq.ParquetFile(path).iter_batches(ROW_GROUP_DOCUMENTS) for path in shards]
    heads = dict(enumerate(map(_next, unread)))
    while heads := {place: head for place, head in heads.items() if head is not None}:
        last = min(head["id"][-1].as_py() for head in heads.values())
        ready = []
        for place, head in heads.items():
            num_ready = pc.sum(pc.less_equal(head["id"], last)).as_py()
            ready.append(head.slice(0, num_ready))
            heads[place] = head.slice(num_ready) if num_ready < head.num_rows else _next(unread[place])
        yield pa.concat_tables(ready).sort_by("id")


def _next(batches: Iterator[pa.RecordBatch]) -> pa.Table | None:
    batch = next(batches, None)
    return batch and pa.Table.from_batches([batch])
