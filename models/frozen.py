"""What every configuration and record here is: frozen, complete, and without unknown keys. And the one error for people."""

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]  # of sources, domains, recipes, mixtures: they name files and stages


class Frozen(BaseModel):
    """A configuration or a record. Unknown keys are refused; nothing can be set after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudyError(Exception):
    """Something only a person can mend. The message is one sentence: what was asked, what was found (the value), what to change.

    `tasks/stage.py` prints it without a traceback and exits with 2.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean '...'?)` with the known name that is most like `name`; empty when none is like it."""
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" (did you mean '{by_lower[close[0]]}'?)" if close else ""
