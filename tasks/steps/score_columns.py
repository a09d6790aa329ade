"""What steps share that read scores which earlier steps annotated."""

import pyarrow as pa
import pyarrow.compute as pc

from models.frozen import StudyError, nearest
from tasks.steps.base import StepConfig, StepContext


def read_score(table: pa.Table, column: str, step: StepConfig, context: StepContext) -> pa.ChunkedArray:
    """A score of each document, float64; null where the scoring step skipped it.

    Raises:
        StudyError: when no earlier step annotated the column, or it holds no numbers.
    """
    if column not in table.column_names:
        raise StudyError(
            f"{step.step} has no column '{column}' to choose by{nearest(column, table.column_names)}: put the step that annotates it before it in "
            f"recipe '{context.recipe}'."
        )
    scores = table[column]
    if not (pa.types.is_integer(scores.type) or pa.types.is_floating(scores.type) or pa.types.is_boolean(scores.type)):
        raise StudyError(f"{step.step} can't choose by column '{column}' in recipe '{context.recipe}': it holds {scores.type}, not numbers.")
    return pc.cast(scores, pa.float64())
