"""How a stage's command starts and ends: `python -m tasks.X [ITEM]`, one sentence on a person's error, exit code not zero."""

import errno
import os
import sys
from collections.abc import Callable

from models.frozen import StudyError

HEALED_BY_A_PERSON = 2
MAY_HEAL = os.EX_TEMPFAIL  # 75 in sysexits.h: worth another try


class TemporaryError(StudyError):
    """What may be well at the next try: a process that was killed, a network. A StudyError that is not of this class is never tried again."""


def main(run: Callable[..., object], *arguments: str) -> None:
    """Runs `run(study, *arguments)` on the study of `params.yaml`; turns errors that a person can mend into one sentence.

    Raises:
        SystemExit: with 2 and one sentence on standard error, on StudyError and on a full disk. All else goes up as it is.
    """
    from tasks.study import load_study

    try:
        run(load_study(), *(arguments or sys.argv[1:]))
    except StudyError as error:
        exit_with(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or "while writing"
        exit_with(f"The disk is full ({where}): free some space and run the same command again; nothing finished was lost.")


def exit_with(sentence: str) -> None:
    print(f"assay: {sentence}", file=sys.stderr)
    sys.exit(HEALED_BY_A_PERSON)
