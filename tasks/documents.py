"""Documents on disk: one schema, Parquet shards. Read and written as streams of Arrow tables; memory is one shard's."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.frozen import StudyError

# One row is a document. `id` is unique in a study and says where it came from; the last four are null when unknown.
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("license", pa.string()),
        pa.field("lang", pa.string()),
    ]
)

# One row is a document that a recipe dropped, with the step that did, its reason and, where there was one, the value and its threshold.
REMOVED_SCHEMA = pa.schema(
    [
        *(DOCUMENT_SCHEMA.field(name) for name in ("id", "text", "source", "domain")),
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)

# Which steps may annotate that draw a document more than once: how often it stands in the token stream's supply; null is once.
COPIES = pa.field("copies", pa.int32())

SHARD_BYTES = 32 << 20  # of text: small enough for a few in memory per worker, large enough for few files


def text_bytes(table: pa.Table) -> int:
    """UTF-8 bytes of the column `text`."""
    return pc.sum(pc.binary_length(table["text"])).as_py() or 0


def shard_paths(directory: Path) -> list[Path]:
    return sorted(directory.glob("part-*.parquet"))


def read_shards(directory: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables of a directory's shards, in the order of their names.

    Raises:
        StudyError: when the directory holds no shard.
    """
    paths = shard_paths(directory)
    if not paths:
        raise StudyError(f"There are no documents in {directory}: run the stage that writes it (`dvc repro`), or `dvc checkout`.")
    for path in paths:
        yield pq.read_table(path, columns=list(columns) if columns else None)


def write_shards(directory: Path, tables: Iterable[pa.Table], schema: pa.Schema, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes a stream of tables as shards of about `shard_bytes` of text. The bytes depend on the rows and their order alone,
    not on how they were cut into tables. An empty stream gives one empty shard, so that the schema is never lost."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(directory, schema, shard_bytes)
    for table in tables:
        writer.write(table)
    writer.close()


class ShardWriter:
    """Collects rows and writes a shard whenever `shard_bytes` of text are together."""

    def __init__(self, directory: Path, schema: pa.Schema, shard_bytes: int = SHARD_BYTES):
        self.directory, self.schema, self.shard_bytes = directory, schema, shard_bytes
        self.directory.mkdir(parents=True, exist_ok=True)
        self.waiting: list[pa.Table] = []
        self.waiting_bytes = 0
        self.num_shards = 0

    def write(self, table: pa.Table) -> None:
        """Adds rows. A shard ends with the row that brings its text to `shard_bytes` or more."""
        table = table.select(self.schema.names).cast(self.schema)
        while table.num_rows:
            ends = pc.cumulative_sum(pc.cast(pc.binary_length(table["text"]), pa.int64()))
            missing = self.shard_bytes - self.waiting_bytes
            fits = pc.sum(pc.cast(pc.less(ends, missing), pa.int64())).as_py()
            taken = table.slice(0, fits + 1)
            self.waiting.append(taken)
            self.waiting_bytes += text_bytes(taken)
            table = table.slice(taken.num_rows)
            if self.waiting_bytes >= self.shard_bytes:
                self._flush()

    def close(self) -> None:
        if self.waiting or not self.num_shards:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self.waiting) if self.waiting else self.schema.empty_table()
        path = self.directory / f"part-{self.num_shards:05d}.parquet"
        pq.write_table(table.combine_chunks(), path, compression="zstd", row_group_size=1 << 14)
        self.num_shards += 1
        self.waiting, self.waiting_bytes = [], 0
