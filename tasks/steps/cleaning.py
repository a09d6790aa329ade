"""Steps that clean the text itself."""

from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, NonNegativeInt

from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide, set_column

if TYPE_CHECKING:
    import polars as pl


class Normalize(BatchStep):
    """Unicode NFC (UAX 15), one kind of newline, no control characters, no space at the end of a line, few empty lines in a row.

    Nothing that is content goes: indentation, tabs, joiners inside words and case stay. Form feeds and Unicode's line and paragraph
    separators become newlines. A document of which nothing is left is dropped.
    """

    step: Literal["normalize"]
    max_empty_lines: NonNegativeInt = Field(default=2, description="in a row; code has two between functions")

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        import polars as pl

        table = set_column(table, DOCUMENT_SCHEMA.field("text"), self._normalize(pl.Series(pl.from_arrow(table["text"]))).to_arrow())
        return decide(table, pc.if_else(pc.equal(table["text"], ""), "empty", pa.scalar(None, pa.string())))

    def _normalize(self, text: "pl.Series") -> "pl.Series":
        most = "\n" * (self.max_empty_lines + 1)
        # each pattern goes over the text once, whatever the text: none can look ahead further than its match
        return (
            text.str.replace_all(r"\r\n?|[\x0b\x0c\u{85}\u{2028}\u{2029}]", "\n")
            .str.replace_all(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u{feff}]", "")
            .str.normalize("NFC")
            .str.replace_all(r"[^\S\n]+(\n|\z)", "$1")
            .str.replace_all(most + "\n+", most)
            .str.strip_chars("\n")
        )
