"""What steps that rewrite keep of what was."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import set_column

ORIGINAL = pa.field("original_text", pa.string())  # of a document that was rewritten, before the first step that keeps it
OUTCOME = pa.field("rewrite_outcome", pa.string())  # what became of the last attempt; null where there was none


def with_texts(table: pa.Table, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The documents with other texts, and the originals beside those that differ."""
    before = _column_or_nulls(table, ORIGINAL)
    original = pc.if_else(pc.not_equal(table["text"], texts), pc.coalesce(before, table["text"]), before)
    return set_column(set_column(table, DOCUMENT_SCHEMA.field("text"), texts), ORIGINAL, original)


def with_new_texts(table: pa.Table, text_D: list[str], outcome_D: np.ndarray) -> pa.Table:
    """The same, and what became of each attempt."""
    outcome = pc.coalesce(pa.array(outcome_D, pa.string()), _column_or_nulls(table, OUTCOME))
    return set_column(with_texts(table, pa.array(text_D, pa.string())), OUTCOME, outcome)


def _column_or_nulls(table: pa.Table, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    return table[field.name] if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
