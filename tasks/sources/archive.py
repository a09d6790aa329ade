"""Files inside a pinned archive of the Python package index."""

import gzip
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

from models.frozen import StudyError
from tasks.sources.config import ArchiveSource
from tasks.sources.package_index import fetch_archive
from tasks.sources.parsers import MISFITS, PARSERS
from tasks.sources.raw import RawDocument, not_utf8


def read(source: ArchiveSource) -> Iterator[tuple[str, RawDocument]]:
    """(member, document) of all members that match, in the archive's own order, which its hash fixes.

    Raises:
        StudyError: when the archive can't be fetched, a pattern matches no member, or a member does not fit the parser.
    """
    path = fetch_archive(source.package, source.version, source.sha256)
    archive = f"{source.package} {source.version}"
    unmatched = set(source.members)
    for member, stream in open_members(path):
        matching = {pattern for pattern in source.members if fnmatchcase(member, pattern)}
        if not matching or any(fnmatchcase(member, pattern) for pattern in source.exclude):
            continue
        unmatched -= matching
        try:
            for document in PARSERS[source.parser](stream):
                yield member, document
        except UnicodeDecodeError as error:
            raise not_utf8(f"{member} in {archive}", error) from error
        except MISFITS as error:
            raise StudyError(
                f"{member} in {archive} does not fit parser '{source.parser}' ({type(error).__name__}: {error});"
                " choose another parser, or leave the file out with `exclude`."
            ) from error
    if unmatched:
        raise StudyError(f"No file of {archive} matches {', '.join(map(repr, sorted(unmatched)))}: {_examples(path)}.")


def read_member(path: Path, pattern: str) -> bytes:
    """The bytes of the first member of an archive that matches a glob pattern.

    Raises:
        StudyError: when none matches.
    """
    for member, stream in open_members(path):
        if fnmatchcase(member, pattern):
            return stream.read()
    raise StudyError(f"No file of the archive {path} matches {pattern!r}: {_examples(path)}.")


def open_members(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """(name, bytes as a stream, gz decompressed) of every file in a wheel or sdist; a stream is good until the next is asked for.

    Raises:
        StudyError: when the file is neither zip nor tar.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    with archive.open(info) as stream:
                        yield info.filename, _decompressed(info.filename, cast(BinaryIO, stream))
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for info in archive:
                if stream := archive.extractfile(info) if info.isfile() else None:
                    yield info.name, _decompressed(info.name, cast(BinaryIO, stream))
    else:
        raise StudyError(f"{path} is no zip and no tar archive: pin a wheel or an sdist.")


def _decompressed(name: str, stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.open(stream)) if name.endswith(".gz") else stream


def _examples(path: Path) -> str:
    names = [name for name, _ in open_members(path)]
    return f"patterns are matched against whole names such as {names[len(names) // 2]!r}" if names else "it holds no files"
