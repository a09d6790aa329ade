"""Edits documents by programs of their own."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide
from tasks.steps.edit_program import InvalidProgramError, execute
from tasks.steps.original import ORIGINAL, OUTCOME, with_new_texts
from tasks.steps.pinned import PinnedFile


class EditPrograms(BatchStep):
    """Executes a program of edits on each document, as ProX does (arXiv 2409.17115, section 2.2): `remove_lines`, `normalize`, `drop_doc`. The
    programs come from a table (JSON Lines or Parquet) with the columns id and program, such as a refining model writes; `rewrite` with the style
    `prox` asks an endpoint for them.

    Annotates `original_text` (what a changed document was) and `rewrite_outcome`. A document whose program is invalid stays as it is, or goes.
    """

    step: Literal["edit-programs"]
    programs: PinnedFile
    invalid: Literal["keep", "drop"] = Field(default="keep", description="documents whose program can't be executed")

    def annotations(self) -> pa.Schema:
        return pa.schema([ORIGINAL, OUTCOME])

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        where = f"recipe '{context.recipe}', {self.step}.programs"
        programs = _programs(self.programs.at(where), where)
        text_D = table["text"].to_pylist()
        outcome_D, reason_D = (np.full(len(text_D), None, object) for _ in range(2))
        for i, (id, text) in enumerate(zip(table["id"].to_pylist(), text_D, strict=True)):
            if (program := programs.get(id)) is None:
                continue
            try:
                edited = execute(program, text).text
            except InvalidProgramError as error:
                outcome_D[i] = f"invalid program: {error}"
                reason_D[i] = "invalid program" if self.invalid == "drop" else None
                continue
            reason_D[i] = "drop_doc" if edited is None else None if edited.strip() else "nothing left"
            if reason_D[i] is None and edited != text:
                text_D[i], outcome_D[i] = edited, "edited"
        return decide(with_new_texts(table, text_D, outcome_D), pa.array(reason_D, pa.string()))


@lru_cache(maxsize=1)
def _programs(path: Path, where: str) -> dict[str, str]:
    import polars as pl

    read = {".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}.get(path.suffix)
    if read is None:
        raise StudyError(f"{where}: '{path}' is neither .jsonl nor .parquet.")
    table = read(path)
    if missing := {"id", "program"} - set(table.columns):
        raise StudyError(f"{where}: '{path}' has no column '{min(missing)}'; it has {', '.join(table.columns)}.")
    if table["id"].is_duplicated().any():
        raise StudyError(f"{where}: '{path}' has more than one program of the same document.")
    return dict(zip(table["id"].to_list(), table["program"].to_list(), strict=True))
