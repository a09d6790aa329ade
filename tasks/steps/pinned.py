"""Files that a study names and DVC does not watch: models, tables. Their SHA-256 stands in the study, so that another file is another study."""

import hashlib
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from models.frozen import Frozen, StudyError


class PinnedFile(Frozen):
    path: str = Field(description="of a file or a folder, from the study's folder")
    sha256: str | None = Field(default=None, description="of the file (of a folder: of its files' names and contents); left out, the error tells it")

    def at(self, where: str) -> Path:
        """The path, if what is there is what the study means.

        Raises:
            StudyError: when there is nothing, or something else than the SHA-256 says.
        """
        path = Path(self.path)
        if not path.exists():
            raise StudyError(f"{where}: there is nothing at '{path}': give the path of a file, or leave the step out.")
        if (found := pinned_sha256(path, path.stat().st_mtime_ns)) != self.sha256:
            told = "no sha256 tells which file is meant" if self.sha256 is None else f"the sha256 is not {self.sha256}"
            raise StudyError(f"{where}: '{path}' is not pinned, {told}: write `sha256: {found}` beside it if this is the right one.")
        return path


@lru_cache
def pinned_sha256(path: Path, changed_ns: int) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode() if path.is_dir() else b"")
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest() if path.is_dir() else content.read())
    return digest.hexdigest()
