"""Documents by their date."""

from datetime import date
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from tasks.steps.base import AskedRemoval, BatchStep, StepContext, StepOutcome, decide


class DateSlice(AskedRemoval, BatchStep):
    """Keeps documents of a span of time: models grow stale, and evaluation from before or after the data is harder than it looks (arXiv 2305.13169,
    section 3).

    A document's `date` is read as ISO 8601; only year, month and day count. Of a shorter one (`2019`, `2019-05`) it must be sure that all its days
    are in the span.
    """

    step: Literal["date-slice"]
    first: date | None = Field(default=None, description="first day that is in it")
    last: date | None = Field(default=None, description="last day that is in it")
    keep_unknown: bool = Field(default=False, description="keep documents without a date, or with one that is none")

    @model_validator(mode="after")
    def _some_days(self) -> "DateSlice":
        if self.first and self.last and self.first > self.last:
            raise ValueError(f"first is {self.first}, behind last, {self.last}: give a span of at least one day")
        return self

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        found = pc.extract_regex(table["date"], r"^(?P<year>\d{4})(?:-?(?P<month>0[1-9]|1[0-2])(?:-?(?P<day>0[1-9]|[12]\d|3[01])(?:[T ].*)?)?)?$")
        year, month, day = (pc.struct_field(found, name) for name in ("year", "month", "day"))
        # as text, which orders as days do: the first and the last day that it may mean
        earliest, latest = (
            pc.binary_join_element_wise(year, _or(month, default_month), _or(day, default_day), "-")
            for default_month, default_day in (("01", "01"), ("12", "31"))
        )
        known = pc.is_valid(found)
        early = pc.less(earliest, self.first.isoformat()) if self.first else pa.scalar(False)
        late = pc.greater(latest, self.last.isoformat()) if self.last else pa.scalar(False)
        none = pa.scalar(None, pa.string())
        unknown = pc.if_else(known, none, none if self.keep_unknown else pa.scalar("date unknown"))
        outside = pc.if_else(early, pa.scalar("too early"), pc.if_else(late, pa.scalar("too late"), none))
        return decide(table, pc.if_else(known, outside, unknown))


def _or(values: pa.ChunkedArray, default: str) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(values, ""), default, values)
