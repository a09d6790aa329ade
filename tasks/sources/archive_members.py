"""The files inside a wheel or sdist, read as streams without unpacking it."""

import gzip
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

from models.frozen import StudyError


def read_member(path: Path, pattern: str) -> bytes:
    """The bytes of the first member of an archive that matches a glob pattern.

    Raises:
        StudyError: when none matches.
    """
    for member, stream in open_members(path):
        if fnmatchcase(member, pattern):
            return stream.read()
    raise StudyError(f"No file of the archive {path} matches {pattern!r}: {examples(path)}.")


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


def examples(path: Path) -> str:
    """What the names of an archive look like, for a sentence about patterns."""
    names = [name for name, _ in open_members(path)]
    return f"patterns are matched against whole names such as {names[len(names) // 2]!r}" if names else "it holds no files"
