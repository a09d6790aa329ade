"""What steps that rewrite keep of what was."""

import pyarrow as pa

ORIGINAL = pa.field("original_text", pa.string())  # of a document that was rewritten
OUTCOME = pa.field("rewrite_outcome", pa.string())  # what became of the attempt; null where there was none
