"""What a Hugging Face text classifier says of each document."""

from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from models.frozen import StudyError, nearest
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, set_column
from tasks.steps.pretrained import Loaded, Pretrained, exact_inference, load


class HuggingFaceClassifier(BatchStep):
    """Annotates the score of a sequence classifier: FineWeb-Edu's (arXiv 2406.17557, section 4), QuRating's raters (arXiv 2402.09739), any other.
    Of a regression (one output) the score is its value, of a classifier the probability of `label` (softmax). A document without tokens has none.

    One document at a time, on one thread: how documents are batched shows in the last bits of a score, and shards would no longer be alike.
    """

    step: Literal["huggingface-classifier"]
    model: Pretrained
    label: str | None = Field(
        default=None, description="as the model's configuration names it, whose probability is the score; null for a regression"
    )
    output: str = Field(default="classifier_score", pattern=r"^[a-z][a-z0-9_]*$", description="the column")
    max_tokens: PositiveInt = Field(default=512, description="from a document's beginning that the model reads")

    def annotations(self) -> pa.Schema:
        return pa.schema([pa.field(self.output, pa.float32())])

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        where = f"recipe '{context.recipe}', {self.step}"
        loaded = load(self.model, "AutoModelForSequenceClassification", f"{where}.model")
        index = self._index(loaded.model.config, where)
        with exact_inference():
            scores = [self._score(text, loaded, index) for text in table["text"].to_pylist()]
        return StepOutcome(set_column(table, self.annotations().field(0), scores), REMOVED_SCHEMA.empty_table())

    def _score(self, text: str, loaded: Loaded, index: int | None) -> float | None:
        encoded = loaded.tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        if not encoded.input_ids.shape[1]:
            return None
        (logits,) = loaded.model(**encoded).logits
        return logits.item() if index is None else logits.softmax(0)[index].item()

    def _index(self, config: Any, where: str) -> int | None:
        """Which output the score is of; None is the only one."""
        labels = {str(label): int(index) for index, label in config.id2label.items()}
        if config.num_labels == 1:
            if self.label is not None:
                raise StudyError(f"{where}.label: '{self.model.name}' is a regression with one output and has no label '{self.label}': leave it out.")
            return None
        if self.label not in labels:
            raise StudyError(
                f"{where}.label: '{self.model.name}' has no label '{self.label}'{nearest(str(self.label), labels)}; it has {', '.join(labels)}."
            )
        return labels[self.label]
