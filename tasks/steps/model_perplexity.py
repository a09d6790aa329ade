"""How surprising each document is to a language model."""

import math
from typing import Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from models.frozen import StudyError
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, set_column
from tasks.steps.pretrained import Loaded, Pretrained, exact_inference, load


class ModelPerplexity(BatchStep):
    """Annotates a document's perplexity exp(-1/N sum_i log p(x_i | x_<i)) under a causal language model, by token (arXiv 2309.04564, equation 1): a
    Hugging Face one, or a proxy that an earlier study left in `results/runs/<mixture>/<run>/model` (with `tokenizer: data/tokenizer`). `score-band`
    keeps the low, the middle or the high ones. A document of less than two tokens has none.

    One document at a time, on one thread, as `huggingface-classifier`.
    """

    step: Literal["model-perplexity"]
    model: Pretrained
    output: str = Field(default="perplexity", pattern=r"^[a-z][a-z0-9_]*$", description="the column")
    max_tokens: PositiveInt = Field(default=512, ge=2, description="from a document's beginning that the model reads")

    def annotations(self) -> pa.Schema:
        return pa.schema([pa.field(self.output, pa.float32())])

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        where = f"recipe '{context.recipe}', {self.step}"
        loaded = load(self.model, "AutoModelForCausalLM", f"{where}.model")
        longest = getattr(loaded.model.config, "max_position_embeddings", self.max_tokens)
        if self.max_tokens > longest:
            raise StudyError(f"{where}.max_tokens: '{self.model.name}' reads {longest} tokens at most, not {self.max_tokens}.")
        if len(loaded.tokenizer) > loaded.model.config.vocab_size:
            raise StudyError(
                f"{where}.model.tokenizer: it has {len(loaded.tokenizer)} tokens, '{self.model.name}' knows {loaded.model.config.vocab_size}: name "
                "the tokenizer that the model was trained with."
            )
        with exact_inference():
            values = [self._perplexity(text, loaded) for text in table["text"].to_pylist()]
        return StepOutcome(set_column(table, self.annotations().field(0), values), REMOVED_SCHEMA.empty_table())

    def _perplexity(self, text: str, loaded: Loaded) -> float | None:
        ids = loaded.tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt").input_ids
        return math.exp(loaded.model(input_ids=ids, labels=ids).loss.item()) if ids.shape[1] > 1 else None
