"""A document as its source gives it, before it has an id and the source's defaults."""

from typing import NamedTuple

from models.frozen import StudyError


class RawDocument(NamedTuple):
    """Fields that are None are unknown; `text` is None where the source has a null."""

    text: str | None
    url: str | None = None
    date: str | None = None
    license: str | None = None
    lang: str | None = None
    domain: str | None = None


def not_utf8(place: str, error: UnicodeDecodeError) -> StudyError:
    """The sentence for a file, line or row that is not UTF-8; the offset is the place's, in bytes."""
    byte = error.object[error.start]
    return StudyError(f"{place} is not valid UTF-8: byte 0x{byte:02x} at offset {error.start}; convert it to UTF-8 or leave it out.")
