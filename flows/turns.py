"""Taking turns: of the processes that would do the same thing in a folder, one goes on, and the others wait for its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from models.frozen import StudyError

LIMIT_SECONDS = 7 * 86_400.0


@contextmanager
def one_at_a_time(lock: FileLock, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Holds the lock; gives whether that took waiting for somebody, which `on_wait` says at its begin. The kernel frees the lock of who was killed.

    Raises:
        StudyError: the other one does not end, within a week.
    """
    try:
        lock.acquire(timeout=0)
        waited = False
    except Timeout:
        on_wait()
        try:
            lock.acquire(timeout=LIMIT_SECONDS)
        except Timeout:
            raise StudyError(f"Another process has held {lock.lock_file} for a week: see what it does (`assay status`), or end it.") from None
        waited = True
    try:
        yield waited
    finally:
        lock.release()
