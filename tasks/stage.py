"""How a stage's command starts and ends: `python -m tasks.X [ITEM]`, one sentence on an error that has words, exit code not zero."""

import errno
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from models.frozen import StudyError

HEALED_BY_A_PERSON = 2
MAY_HEAL = os.EX_TEMPFAIL  # 75 in sysexits.h: worth another try
SENTENCE = "assay: "  # how the one sentence begins
DISK_FULL = ("No space left on device", "Not enough disk space", "database or disk is full", "Disk quota exceeded")  # of libraries that keep no errno


class TemporaryError(StudyError):
    """What may be well at the next try: a process that was killed, a network. A StudyError that is not of this class is never tried again."""


def main(run: Callable[..., object], *arguments: str) -> None:
    """Runs `run(study, *arguments)` on the study of `params.yaml`; errors that have words end it with one sentence (`errors_in_words`)."""
    from tasks.study import load_study

    with errors_in_words():
        run(load_study(), *(arguments or sys.argv[1:]))


def import_meanwhile(module: str) -> None:
    """Begins to import what takes seconds and is needed later, while this process waits for others; who imports it then waits for the rest."""
    threading.Thread(target=importlib.import_module, args=[module], daemon=True).start()


@contextmanager
def errors_in_words() -> Iterator[None]:
    """For the main function of a program.

    Raises:
        SystemExit: with one sentence on standard error; 75 on a TemporaryError, 2 on any other StudyError and on what the system refuses
            (`refusal_in_words`). All else goes up as it is.
    """
    try:
        yield
    except Exception as error:
        if sentence := refusal_in_words(error):
            exit_with(sentence)
        if not isinstance(error, StudyError):
            raise
        exit_with(str(error), MAY_HEAL if isinstance(error, TemporaryError) else HEALED_BY_A_PERSON)


def exit_with(sentence: str, code: int = HEALED_BY_A_PERSON) -> None:
    print(f"{SENTENCE}{sentence}", file=sys.stderr)
    sys.exit(code)


def refusal_in_words(error: BaseException) -> str | None:
    """One sentence for a full disk, whoever noticed it and whatever was made of it on the way up; and, unless `error` has words of its own, for a
    lock that stays taken, a read-only file system and missing rights. None for all else."""
    chain = list(causes(error))
    for cause in chain:
        if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(words in str(cause) for words in DISK_FULL):
            where = getattr(cause, "filename", None) or "while writing"
            return f"The disk is full ({where}): free some space and run the same command again; nothing finished was lost."
    if isinstance(error, StudyError):
        return None
    if isinstance(error, Timeout):
        return f"Another process holds {error.lock_file} for too long: see what it does, or end it."
    for cause in chain:
        where = getattr(cause, "filename", None)
        if isinstance(cause, OSError) and cause.errno == errno.EROFS:
            return f"The file system is read-only ({where}): make it writable, or work in a copy elsewhere; nothing finished was lost."
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM) and where:
            me, owner = user_name(os.geteuid()), owner_of(Path(os.fsdecode(where)))
            return f"'{me}' has no right to {where}, which belongs to '{owner}': ask for that right, or work in a copy of your own."
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or while, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def owner_of(path: Path) -> str:
    """The user to whom `path` belongs, or the nearest folder above it that can be seen."""
    for place in (path.absolute(), *path.absolute().parents):
        try:
            return user_name(place.stat().st_uid)
        except OSError:
            continue
    return "somebody else"


def user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
