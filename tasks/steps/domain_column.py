"""Domains by what a column says."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import Name, StudyError, nearest
from tasks.steps.base import StepContext, StepOutcome
from tasks.steps.domain_map import DomainMap


class DomainColumn(DomainMap):
    """Sets `domain` by the value of another column: `lang`, `license`, `source`, or one that an earlier step annotated, such as `cluster`, so that
    clusters get names of your own and several become one domain.
    """

    step: Literal["domain-column"]
    column: str
    domains: dict[str, Name] = Field(min_length=1, description="by value, as text; several values may be one domain")

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        if self.column not in table.column_names:
            raise StudyError(
                f"domain-column, recipe '{context.recipe}': there is no column '{self.column}'{nearest(self.column, table.column_names)}: put the "
                "step that annotates it before, or name another."
            )
        values = pc.cast(table[self.column], pa.string())
        place = pc.index_in(values, value_set=pa.array(list(self.domains), pa.string()))
        return self.with_domains(table, pc.take(pa.array(list(self.domains.values()), pa.string()), place))
