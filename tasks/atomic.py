"""Outputs appear whole or not at all: what was good stays in place until what replaces it is complete."""

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL_BYTES = 1 << 20  # with less, programs have no room for their logs and databases


@contextmanager
def replace_directory(path: Path | str) -> Iterator[Path]:
    """Gives an empty directory beside `path`; when the block ends well it takes the place of `path`, else it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    partial.chmod(0o755)
    try:
        yield partial
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.parent))
            path.rename(old / "it")
            partial.replace(path)
            shutil.rmtree(old)
        else:
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replace_file(path: Path | str) -> Iterator[Path]:
    """Gives a path beside `path` to write to; when the block ends well, that file takes the place of `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(8)}")  # not the process' id: another machine has the same
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def raise_if_full(path: Path | str) -> None:
    """To be called when a process ended that could not even log why.

    Raises:
        OSError: ENOSPC, when the disk under `path` has no room left.
    """
    if shutil.disk_usage(path).free < FULL_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` (JSON types) as sorted, indented JSON, atomically. NaN is refused: a missing number is null."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))
