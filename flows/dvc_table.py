"""DVC's table of readers and writers, `.dvc/tmp/rwlock`. DVC writes it in place: a process that is killed meanwhile leaves a part of it, and no DVC
command begins any more. Here it is replaced whole, and a part that is found is put away."""

import errno
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import dvc.rwlock
from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, RWLockFileCorruptedError

from tasks.atomic import replace_file

_edit_in_place = dvc.rwlock._edit_rwlock


def keep_whole() -> None:
    """From now on, in this process."""
    dvc.rwlock._edit_rwlock = edited


@contextmanager
def edited(lock_dir: str, fs: Any, hardlink: bool) -> Iterator[Any]:
    """The table, to be changed in the block."""
    with ExitStack() as editing:
        try:
            table = editing.enter_context(_edit_in_place(lock_dir, _WholeFiles(fs), hardlink))
        except RWLockFileCorruptedError:
            put_away_part(Path(lock_dir), hardlink)
            table = editing.enter_context(_edit_in_place(lock_dir, _WholeFiles(fs), hardlink))
        yield table


def put_away_part(lock_dir: Path, hardlink: bool) -> None:
    """Who writes the table holds its lock: a part that is there while we hold it is one of a process that was killed."""
    path = lock_dir / RWLOCK_FILE
    with make_lock(str(lock_dir / RWLOCK_LOCK), tmp_dir=str(lock_dir), hardlink_lock=hardlink):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # somebody else put it away
            pass
        except ValueError:
            path.unlink()


class _WholeFiles:
    """A file system on which a file that is written takes its place when it is closed."""

    def __init__(self, fs: Any):
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    @contextmanager
    def open(self, path: str, mode: str = "r", encoding: str | None = None) -> Iterator[IO[Any]]:
        if mode == "r":
            with self._fs.open(path, mode, encoding=encoding) as file:
                yield file
        else:
            file = io.StringIO()
            yield file
            write_whole(Path(path), file.getvalue())


def write_whole(path: Path, text: str) -> None:
    try:
        with replace_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        fits = path.exists() and len(text.encode()) <= path.stat().st_size
        if error.errno != errno.ENOSPC or not fits:
            raise
        with path.open("r+", encoding="utf-8") as file:  # a full disk has no room for both: marks are given back in place
            file.write(text)
            file.truncate()
