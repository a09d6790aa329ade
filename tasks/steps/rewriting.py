"""What steps share that write each text anew and keep what it was."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, set_column
from tasks.steps.original import ORIGINAL, with_texts
from tasks.steps.rules import Rule, decide_by

if TYPE_CHECKING:
    import polars as pl

KEEP_ORIGINAL = "beside what was changed, as `original_text`: the document before the first of the recipe's steps that keeps it"


class RewriteStep(BatchStep):
    """A document of which nothing is left is dropped. What is dropped has the text that it came with."""

    keep_original: bool = Field(default=True, description=KEEP_ORIGINAL)

    def annotations(self) -> pa.Schema:
        return pa.schema([ORIGINAL] if self.keep_original else [])

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        """The texts anew, one for each."""
        raise NotImplementedError

    def rules(self, old: "pl.Series", new: "pl.Series") -> list[Rule]:
        """Which documents go for what was done to them."""
        return []

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        import polars as pl

        old = pl.Series(pl.from_arrow(table["text"]))
        new = self.rewrite(old)
        rewritten = table.append_column("rewritten", new.to_arrow().cast(pa.string()))
        kept, removed = decide_by(rewritten, [*self.rules(old, new), Rule("empty", new.str.len_bytes().to_numpy(), minimum=1)])
        new, kept = kept["rewritten"], kept.drop_columns("rewritten")
        return StepOutcome(with_texts(kept, new) if self.keep_original else set_column(kept, DOCUMENT_SCHEMA.field("text"), new), removed)


def without_lines(text: "pl.Series", is_bad: Callable[["pl.Series"], np.ndarray]) -> "pl.Series":
    """The texts without the lines of which `is_bad`, asked for all lines at once, says so."""
    import polars as pl

    split = pc.split_pattern(text.to_arrow().cast(pa.string()), "\n")
    lines = split.flatten()
    good_S = ~is_bad(pl.Series(pl.from_arrow(lines)))
    before = np.append(0, np.cumsum(good_S))  # lines that stay before each line
    kept_before = pa.array(before[split.offsets.to_numpy()], pa.int32())
    return pl.Series(pl.from_arrow(pc.binary_join(pa.ListArray.from_arrays(kept_before, lines.filter(pa.array(good_S))), "\n")))


def changed_where(text: "pl.Series", rows: "pl.Series", function: Callable[[str], str]) -> "pl.Series":
    """The texts, those at the positions `rows` put through a function."""
    import polars as pl

    return text.scatter(rows, pl.Series([function(old) for old in text.gather(rows)], dtype=pl.String)) if len(rows) else text
