"""One source -> its documents in the pool's schema: `data/sources/<source>/part-*.parquet`. Streamed: memory is about one shard's text."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from models.frozen import Frozen, StudyError, nearest
from tasks import layout
from tasks.atomic import replace_directory
from tasks.documents import DOCUMENT_SCHEMA, write_shards
from tasks.sources.config import ArchiveSource, CommonCrawlSource, HuggingFaceSource, LocalSource, S3FilesSource, SourceConfig
from tasks.sources.raw import RawDocument
from tasks.sources.sampling import HashSample
from tasks.stage import main
from tasks.study import Study

BATCH_ROWS = 4096  # in memory on their way to the shards, ...
BATCH_CHARACTERS = 4 << 20  # ... fewer when their text is so long


class IngestSummary(Frozen):
    """What was taken of a source, and what was left out."""

    source: str
    documents: int
    text_bytes: int
    empty_documents: int
    overlong_documents: int
    unsampled_documents: int  # beyond max_bytes; not counted where the rest of a remote source was not read

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.documents:,} documents, {self.text_bytes:,} bytes of text; left out: {self.empty_documents:,} empty, "
            f"{self.overlong_documents:,} over-long, {self.unsampled_documents:,} beyond max_bytes"
        )


def ingest(study: Study, name: str) -> IngestSummary:
    """Reads the source `name` of the study and replaces its shards. Ids are `<source>/<file or member>#<number in it>`.

    Archives and local files are read twice where `max_bytes` is set, so that every document has the same chance (`HashSample`); what
    `max_bytes` takes of remote sources says `sampling.take_shares`.

    Raises:
        StudyError: an unknown name, a source that can't be read, a document that is no valid text, or no documents at all.
    """
    if name not in study.all_sources:
        raise StudyError(f"There is no source '{name}'{nearest(name, study.all_sources)}: the study has {', '.join(sorted(study.all_sources))}.")
    source = study.all_sources[name]
    counts: Counter[str] = Counter()
    with replace_directory(layout.SOURCES / name) as partial:
        write_shards(partial, _tables(_rows(name, source, counts)), DOCUMENT_SCHEMA)
        fields = ("documents", "text_bytes", "empty_documents", "overlong_documents", "unsampled_documents")
        summary = IngestSummary(source=name, **{field: counts[field] for field in fields})
        if not summary.documents:
            raise StudyError(f"Source '{name}' gives no documents ({summary}): check what it names, and its max_bytes.")
    print(summary)
    return summary


def reader(source: SourceConfig) -> Callable[[Any], Iterator[tuple[str, RawDocument]]]:
    """The function that reads sources of this kind as (file, document). Libraries of other kinds stay unloaded."""
    from tasks.sources import archive, files

    match source:
        case ArchiveSource():
            return archive.read
        case LocalSource():
            return files.read_local
        case S3FilesSource():
            return files.read_s3
        case HuggingFaceSource():
            from tasks.sources import huggingface

            return huggingface.read
        case CommonCrawlSource():
            from tasks.sources import common_crawl

            return common_crawl.read
    raise AssertionError(f"no reader for {type(source).__name__}")


def _rows(name: str, source: SourceConfig, counts: Counter[str]) -> Iterator[dict[str, str | None]]:
    """Rows of DOCUMENT_SCHEMA; `counts` gets the fields of IngestSummary."""
    sample = None
    if source.max_bytes is not None and isinstance(source, ArchiveSource | LocalSource):
        sample = HashSample((encoded for _, _, encoded in _valid_documents(name, source, Counter())), source.max_bytes)
    for id, document, encoded in _valid_documents(name, source, counts):
        if sample is not None and encoded not in sample:
            counts["unsampled_documents"] += 1
            continue
        counts["documents"] += 1
        counts["text_bytes"] += len(encoded)
        yield {
            "id": id,
            "text": document.text,
            "source": name,
            "domain": document.domain or source.domain,
            "url": document.url,
            "date": document.date,
            "license": document.license or source.license,
            "lang": document.lang or source.lang,
        }


def _valid_documents(name: str, source: SourceConfig, counts: Counter[str]) -> Iterator[tuple[str, RawDocument, bytes]]:
    """(id, document, its text as UTF-8) of all documents that are neither empty nor over-long."""
    current, number = None, 0
    for file, document in reader(source)(source):
        current, number = file, number + 1 if file == current else 0
        id = f"{name}/{file}#{number}"
        if document.text is None or not document.text.strip():
            counts["empty_documents"] += 1
            continue
        try:
            encoded = document.text.encode()
        except UnicodeEncodeError as error:
            raise StudyError(
                f"{id} is not valid Unicode: half a surrogate pair, U+{ord(document.text[error.start]):04X}, is character {error.start} of its text;"
                " mend the file or take the document out."
            ) from error
        if len(encoded) <= source.max_document_bytes:
            yield id, document, encoded
        elif source.drop_overlong:
            counts["overlong_documents"] += 1
        else:
            raise StudyError(
                f"{id} has {len(encoded):,} bytes of text, more than max_document_bytes = {source.max_document_bytes:,}:"
                " raise it if the document is really that long, or set drop_overlong."
            )


def _tables(rows: Iterable[dict[str, str | None]]) -> Iterator[pa.Table]:
    batch: list[dict[str, str | None]] = []
    batch_characters = 0
    for row in rows:
        batch.append(row)
        batch_characters += len(row["text"] or "")
        if len(batch) >= BATCH_ROWS or batch_characters >= BATCH_CHARACTERS:
            yield pa.Table.from_pylist(batch, DOCUMENT_SCHEMA)
            batch, batch_characters = [], 0
    if batch:
        yield pa.Table.from_pylist(batch, DOCUMENT_SCHEMA)


if __name__ == "__main__":
    main(ingest)
