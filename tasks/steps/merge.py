"""Shards whose documents are sorted by id, as one stream that is: the order of a corpus, whatever it was cut into on the way."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.atomic import replace_file
from tasks.documents import text_bytes

# Of each shard that is merged, a row group is in memory: so many documents, or fewer when their text is so long.
ROW_GROUP_DOCUMENTS = 1 << 10
ROW_GROUP_BYTES = 1 << 20
MERGED_AT_ONCE = 64  # shards: what bounds memory, and open files; more are merged in rounds


def write_sorted(table: pa.Table, path: Path) -> None:
    """A shard that `merged_by_id` can read."""
    with replace_file(path) as partial:
        pq.write_table(table.sort_by("id"), partial, row_group_size=_row_group_documents(table))


def merged_by_id(shards: list[Path]) -> Iterator[pa.Table]:
    """Yields all rows in the order of their ids. Of more than MERGED_AT_ONCE shards, one is made of each so many beside the first, until there
    are few enough."""
    if len(shards) <= MERGED_AT_ONCE:
        yield from _merged(shards)
        return
    with tempfile.TemporaryDirectory(dir=shards[0].parent, prefix="merged-") as directory:
        larger = []
        for start in range(0, len(shards), MERGED_AT_ONCE):
            larger.append(Path(directory) / f"{start:06d}.parquet")
            with pq.ParquetWriter(larger[-1], pq.read_schema(shards[start])) as writer:
                for table in _merged(shards[start : start + MERGED_AT_ONCE]):
                    writer.write_table(table, row_group_size=_row_group_documents(table))
        yield from merged_by_id(larger)


def _merged(shards: list[Path]) -> Iterator[pa.Table]:
    """In each round, those that come before all that is not yet read."""
    unread = [_row_groups(path) for path in shards]
    heads = {place: next(tables, None) for place, tables in enumerate(unread)}
    while heads := {place: head for place, head in heads.items() if head is not None}:
        last = min(head["id"][-1].as_py() for head in heads.values())
        ready = []
        for place, head in heads.items():
            num_ready = pc.sum(pc.less_equal(head["id"], last)).as_py()
            ready.append(head.slice(0, num_ready))
            heads[place] = head.slice(num_ready) if num_ready < head.num_rows else next(unread[place], None)
        yield pa.concat_tables(ready).sort_by("id")


def _row_group_documents(table: pa.Table) -> int:
    return max(1, min(ROW_GROUP_DOCUMENTS, table.num_rows * ROW_GROUP_BYTES // max(1, text_bytes(table))))


def _row_groups(path: Path) -> Iterator[pa.Table]:
    file = pq.ParquetFile(path, pre_buffer=False)  # that would read on, and keep what was read
    return (file.read_row_group(number) for number in range(file.num_row_groups) if file.metadata.row_group(number).num_rows)
