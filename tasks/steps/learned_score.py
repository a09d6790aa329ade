"""What steps share that train a fastText classifier on documents of the corpus and score all documents by it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pydantic import Field, PositiveInt

from models.quality_classifier import REFERENCE, ClassifierConfig, ClassifierReport, fit, score
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, set_column

if TYPE_CHECKING:
    import polars as pl
    from fasttext.FastText import _FastText


class Fitted(NamedTuple):
    model: Path
    report: ClassifierReport
    further: dict[str, Any]  # of the record


class LearnedScore(CorpusStep):
    """Annotates scores; decides nothing."""

    output: str = Field(default="quality_score", pattern=r"^[a-z][a-z0-9_]*$", description="the column")
    max_documents: PositiveInt = Field(default=20_000, description="of each kind, to train and to check on")
    max_characters: PositiveInt = Field(default=1000, description="from a document's beginning that the classifier reads")
    classifier: ClassifierConfig = ClassifierConfig()

    @property
    def columns(self) -> dict[str, str]:
        """The column of each class that is scored."""
        return {REFERENCE: self.output}

    def annotations(self) -> pa.Schema:
        return pa.schema([pa.field(name, pa.float32()) for name in self.columns.values()])

    def beginnings(self, table: pa.Table) -> "pl.Series":
        import polars as pl

        return pl.Series(pl.from_arrow(table["text"])).str.slice(0, self.max_characters)

    def fitted(
        self, reference: Mapping[str, Sequence[str]], other: Sequence[str], groups: Sequence[str], context: StepContext, **further: Any
    ) -> Fitted:
        model, report = fit(reference, other, groups, self.classifier, context.seed)
        path = context.directory / "model.bin"
        model.save_model(str(path))
        return Fitted(path, report, further)

    def apply(self, table: pa.Table, state: Fitted, context: StepContext) -> StepOutcome:
        scores = score(self.beginnings(table).to_list(), _load(state.model))
        for field, name in zip(self.annotations(), self.columns, strict=True):
            table = set_column(table, field, scores[name])
        return StepOutcome(table, REMOVED_SCHEMA.empty_table())

    def record(self, state: Fitted) -> dict[str, Any]:
        return state.report.model_dump() | state.further


@lru_cache(maxsize=1)
def _load(path: Path) -> "_FastText":
    import fasttext

    return fasttext.load_model(str(path))
