"""One measured number, as a row of the evaluation table holds it."""

from models.frozen import Frozen


class Estimate(Frozen):
    value: float | None  # None when it could not be measured, never 0
    stderr: float | None = None  # over documents or items; None for a single one
    count: int  # documents or items
