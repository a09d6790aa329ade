"""Rows of tables (JSONL, Parquet, Hugging Face datasets) as documents."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from models.frozen import StudyError
from tasks.sources.config import HuggingFaceSource, LocalSource, S3FilesSource
from tasks.sources.raw import RawDocument

TableSource = HuggingFaceSource | S3FilesSource | LocalSource

METADATA_COLUMNS = ("url", "date", "license", "lang")  # read where they are there; they win over the source's own licence and language


def wanted_columns(columns: Collection[str], source: TableSource, place: str) -> list[str]:
    """Those of a table's columns that make a document.

    Raises:
        StudyError: naming `place`, when the column of the text or of the domain is missing.
    """
    for key in ("text_column", "domain_column"):
        name = getattr(source, key)
        if name is not None and name not in columns:
            raise StudyError(f"{place} has no column '{name}', only {', '.join(sorted(columns)) or 'none at all'}: set {key} to the right one.")
    return [name for name in columns if name in (source.text_column, source.domain_column, *METADATA_COLUMNS)]


def document_of_row(row: Mapping[str, Any], source: TableSource, place: str) -> RawDocument:
    """One row as a document; a null text stays None.

    Raises:
        StudyError: naming `place` (file and line or row), when a column is missing, the text is no text or the domain no name.
    """
    columns = wanted_columns(row.keys(), source, place)
    text = row[source.text_column]
    if not isinstance(text, str | None):
        raise StudyError(
            f"{place}: column '{source.text_column}' holds {_shortened(text)} ({type(text).__name__}), not text:"
            " set text_column to the column that holds the text."
        )
    domain = row[source.domain_column] if source.domain_column else None
    metadata = {name: str(row[name]) for name in METADATA_COLUMNS if name in columns and row[name] is not None}
    return RawDocument(text, domain=None if domain is None else _domain_name(domain, source, place), **metadata)


def _domain_name(value: object, source: TableSource, place: str) -> str:
    """`Wikipedia (en)` -> `wikipedia-en`: domains name files and weights."""
    name = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")
    if not re.match(r"[a-z].{,39}$", name):
        raise StudyError(
            f"{place}: column '{source.domain_column}' holds {_shortened(value)}, of which no domain's name can be made"
            " (a letter first, at most 40 characters): leave domain_column out, or rename the domains."
        )
    return name


def _shortened(value: object, most_characters: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= most_characters else text[: most_characters - 3] + "..."
