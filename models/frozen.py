"""What every configuration and record here is: frozen, complete, and without unknown keys. And the one error for people."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A configuration or a record. Unknown keys are refused; nothing can be set after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudyError(Exception):
    """Something only a person can mend. The message is one sentence: what was asked, what was found (the value), what to change.

    `tasks/stage.py` prints it without a traceback and exits with 2.
    """
