"""Parquet and JSON Lines (plain, gz, zst): local files and folders, and S3 prefixes.

Read with pyarrow and line by line rather than through `datasets`, whose builders can't say which line of which file is wrong and hold a line of
any length in memory.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from models.frozen import StudyError
from tasks import storage
from tasks.sources.config import LocalSource, S3FilesSource
from tasks.sources.raw import RawDocument, not_utf8
from tasks.sources.rows import document_of_row, wanted_columns
from tasks.sources.sampling import Shard, take_shares

TABLE_FILE = re.compile(r"(^|/)[^._/][^/]*\.(parquet|(jsonl|ndjson|json)(\.(gz|zst))?)$")  # hidden files and `_SUCCESS` are none
BATCH_ROWS = 256  # of Parquet, in memory at a time
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError, pa.ArrowInvalid)


def read_local(source: LocalSource) -> Iterator[tuple[str, RawDocument]]:
    """(file, document) of a file or of all table files in a folder and its subfolders, by name.

    Raises:
        StudyError: missing path, no table file, and whatever is wrong in a file, with its line or row.
    """
    root = Path(source.path)
    if not root.exists():
        raise StudyError(f"There is no file or folder '{source.path}': a local source's path is relative to the study's folder.")
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    named = {path.name if path == root else path.relative_to(root).as_posix(): path for path in paths}
    tables = [name for name in named if TABLE_FILE.search(name)]
    if not tables:
        raise StudyError(f"'{source.path}' holds no .parquet, .jsonl, .jsonl.gz or .jsonl.zst file.")
    for name in tables:
        with named[name].open("rb") as stream:
            for document in read_table_file(str(named[name]), stream, source):
                yield name, document


def read_s3(source: S3FilesSource) -> Iterator[tuple[str, RawDocument]]:
    """(key after the url, document) of all table files under an S3 prefix; with `max_bytes`, shares of them (`sampling.take_shares`).

    Raises:
        StudyError: what `storage` can't list or read, no table file, and whatever is wrong in a file, with its line or row.
    """
    found = [item for item in storage.list_objects(source.url) if TABLE_FILE.search(item.key)]
    if not found:
        raise StudyError(f"There is no .parquet, .jsonl, .jsonl.gz or .jsonl.zst file under {source.url}.")

    def opener(item: storage.StoredObject) -> Callable[[], Iterator[RawDocument]]:
        def documents() -> Iterator[RawDocument]:
            with storage.open_object(item) as stream:
                yield from read_table_file(item.url, stream, source)

        return documents

    return take_shares([Shard(item.name_under(source.url), item.num_bytes, opener(item)) for item in found], source)


def read_table_file(name: str, stream: BinaryIO, source: LocalSource | S3FilesSource) -> Iterator[RawDocument]:
    """The documents of one Parquet or JSON Lines file. Memory: a line of at most `max_document_bytes`, or the wanted columns
    of a row group.

    Raises:
        StudyError: naming the file, and the line or row where there is one.
    """
    try:
        yield from (_read_parquet if name.endswith(".parquet") else _read_json_lines)(name, stream, source)
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's, not the file's
        raise StudyError(f"{name} is damaged or cut ({' '.join(str(error).split()) or type(error).__name__}): fetch or write it again.") from error


def _read_parquet(name: str, stream: BinaryIO, source: LocalSource | S3FilesSource) -> Iterator[RawDocument]:
    with pq.ParquetFile(stream) as file:
        columns = wanted_columns(file.schema_arrow.names, source, name)
        num_rows = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
            for index in range(batch.num_rows):
                place = f"{name}, row {num_rows + index}"
                try:
                    row = {column: batch.column(column)[index].as_py() for column in batch.schema.names}
                except UnicodeDecodeError as error:
                    raise not_utf8(place, error) from error
                yield document_of_row(row, source, place)
            num_rows += batch.num_rows


def _read_json_lines(name: str, stream: BinaryIO, source: LocalSource | S3FilesSource) -> Iterator[RawDocument]:
    lines = _decompressed(name, stream)
    number = 0
    while line := lines.readline(source.max_document_bytes + 1):
        number += 1
        place = f"{name}, line {number}"
        if len(line) > source.max_document_bytes:
            raise StudyError(
                f"{place} is longer than max_document_bytes = {source.max_document_bytes:,}: one JSON object per line is expected;"
                " raise max_document_bytes if the document is really that long."
            )
        try:
            row = json.loads(line.decode("utf-8-sig")) if line.strip() else None
        except UnicodeDecodeError as error:
            raise not_utf8(place, error) from error
        except json.JSONDecodeError as error:
            raise StudyError(f"{place} is not valid JSON ({error.msg} at character {error.pos}): one object per line is expected.") from error
        if row is None:
            continue
        if not isinstance(row, dict):
            raise StudyError(f"{place} holds a JSON {type(row).__name__}, not an object: one object per line is expected.")
        yield document_of_row(row, source, place)


def _decompressed(name: str, stream: BinaryIO) -> BinaryIO:
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(stream))
    if name.endswith(".zst"):
        return cast(BinaryIO, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True), 1 << 18))
    return stream
