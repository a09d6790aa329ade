"""What steps that rewrite keep of what was."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import set_column

ORIGINAL = pa.field("original_text", pa.string())  # of a document that was rewritten, before the first step that keeps it
OUTCOME = pa.field("rewrite_outcome", pa.string())  # what became of the last attempt; null where there was none


def with_new_texts(table: pa.Table, text_D: list[str], outcome_D: np.ndarray) -> pa.Table:
    """The documents with other texts, where these differ, and the originals beside them."""
    texts, nothing = pa.array(text_D, pa.string()), pa.nulls(table.num_rows, pa.string())
    original, outcome = (table[field.name] if field.name in table.column_names else nothing for field in (ORIGINAL, OUTCOME))
    original = pc.if_else(pc.not_equal(table["text"], texts), pc.coalesce(original, table["text"]), original)
    outcome = pc.coalesce(pa.array(outcome_D, pa.string()), outcome)
    for field, values in ((DOCUMENT_SCHEMA.field("text"), texts), (ORIGINAL, original), (OUTCOME, outcome)):
        table = set_column(table, field, values)
    return table
