"""What steps share that look a document's domain up."""

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import Name
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA
from tasks.steps.base import BatchStep, StepOutcome, set_column


class DomainMap(BatchStep):
    """Sets `domain`; drops nothing."""

    otherwise: Name | None = Field(default=None, description="the domain of documents that are not found; null leaves them theirs")

    @property
    def finds_domains(self) -> bool:
        return True

    def with_domains(self, table: pa.Table, found: pa.Array | pa.ChunkedArray) -> StepOutcome:
        """Args:
        found: the domain of each document, null where it is not found.
        """
        domain = pc.coalesce(found, table["domain"] if self.otherwise is None else pa.scalar(self.otherwise))
        return StepOutcome(set_column(table, DOCUMENT_SCHEMA.field("domain"), domain), REMOVED_SCHEMA.empty_table())
