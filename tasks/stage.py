"""How a stage's command starts and ends: `python -m tasks.X [ITEM]`, one sentence on an error that has words, exit code not zero."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.frozen import StudyError

HEALED_BY_A_PERSON = 2
MAY_HEAL = os.EX_TEMPFAIL  # 75 in sysexits.h: worth another try
SENTENCE = "assay: "  # how the one sentence begins


class TemporaryError(StudyError):
    """What may be well at the next try: a process that was killed, a network. A StudyError that is not of this class is never tried again."""


def main(run: Callable[..., object], *arguments: str) -> None:
    """Runs `run(study, *arguments)` on the study of `params.yaml`; errors that have words end it with one sentence (`errors_in_words`)."""
    from tasks.study import load_study

    with errors_in_words():
        run(load_study(), *(arguments or sys.argv[1:]))


@contextmanager
def errors_in_words() -> Iterator[None]:
    """For the main function of a program.

    Raises:
        SystemExit: with one sentence on standard error; 75 on a TemporaryError, 2 on any other StudyError and on what the system refuses
            (`refusal_in_words`). All else goes up as it is.
    """
    try:
        yield
    except TemporaryError as error:
        exit_with(str(error), MAY_HEAL)
    except StudyError as error:
        exit_with(str(error))
    except OSError as error:
        if (sentence := refusal_in_words(error)) is None:
            raise
        exit_with(sentence)


def exit_with(sentence: str, code: int = HEALED_BY_A_PERSON) -> None:
    print(f"{SENTENCE}{sentence}", file=sys.stderr)
    sys.exit(code)


def refusal_in_words(error: OSError) -> str | None:
    """One sentence for a full disk, a read-only file system and missing rights; None for all else."""
    where = error.filename or "while writing"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full ({where}): free some space and run the same command again; nothing finished was lost."
    if error.errno == errno.EROFS:
        return f"The file system is read-only ({where}): make it writable, or work in a copy elsewhere; nothing finished was lost."
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename:
        owner, me = owner_of(Path(os.fsdecode(error.filename))), user_name(os.geteuid())
        return f"'{me}' has no right to {where}, which belongs to '{owner}': ask for that right, or work in a copy of your own."
    return None


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
