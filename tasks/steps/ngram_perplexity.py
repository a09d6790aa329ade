"""How surprising each document is to an n-gram model of reference documents."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from models.frozen import StudyError
from models.ngram_lm import NgramModel, Order, estimate
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, set_column
from tasks.steps.drawn import leave_candidates, smallest_keys
from tasks.steps.hashed_words import HashedWords, hashed_words
from tasks.steps.reference import Reference


class Estimated(NamedTuple):
    path: Path
    record: dict[str, Any]


class NgramPerplexity(CorpusStep):
    """Annotates a document's perplexity exp(-1/N sum_i log p(w_i | w_<i)) by word under an n-gram model with modified Kneser-Ney smoothing (as KenLM
    estimates), trained here on the reference documents. CCNet (arXiv 1911.00359, section 3.4) trains it on Wikipedia and parts pages into head,
    middle and tail by it; `score-band` does. Trained on harmful text it is the inverse: what it finds likely is harmful (arXiv 2212.10440).

    Words are in lower case; rare ones are one unknown word, so that very foreign text can look likely: drop it by language before. The reference
    documents themselves were learned from, and look likelier than they are: name their domains in the `skip_domains` of what selects.
    """

    step: Literal["ngram-perplexity"]
    reference: Reference
    order: PositiveInt = Field(default=5, le=8, description="words of the longest n-gram")
    min_word_count: PositiveInt = Field(default=2, description="in the reference; rarer words are the unknown word")
    max_documents: PositiveInt = Field(default=20_000, description="of the reference, drawn by a hash of the id")
    output: str = Field(default="perplexity", pattern=r"^[a-z][a-z0-9_]*$", description="the column")

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"reference.domains": self.reference.domains}

    def annotations(self) -> pa.Schema:
        return pa.schema([pa.field(self.output, pa.float32())])

    def map(self, table: pa.Table, context: StepContext) -> Path:
        """The file of the shard's reference documents. Row by row: one that may be drawn."""
        return leave_candidates(table.select(["id", "text"]).filter(pa.array(self.reference.shown_by(table))), self.max_documents, context)

    def reduce(self, digests: list[Path], context: StepContext) -> Estimated:
        reference = smallest_keys(digests, self.max_documents)
        texts = list(chain.from_iterable(words.by_document() for words in hashed_words(reference["text"])))
        if not (num_words := sum(map(len, texts))):
            raise StudyError(f"ngram-perplexity finds no reference text in recipe '{context.recipe}': no document is of {self.reference}.")
        model = estimate(texts, self.order, self.min_word_count)
        path = context.directory / "model.npz"
        np.savez(
            path,
            vocabulary=model.vocabulary,
            **{f"{n} {name}": array for n, order in enumerate(model.orders) for name, array in order._asdict().items()},
        )
        ngrams = [len(order.key_G) for order in model.orders]
        return Estimated(path, {"documents": len(texts), "words": num_words, "vocabulary": len(model.vocabulary), "ngrams_by_order": ngrams})

    def apply(self, table: pa.Table, state: Estimated, context: StepContext) -> StepOutcome:
        model = _load(state.path)
        values = [_perplexity(words, model) for words in hashed_words(table["text"])]
        return StepOutcome(set_column(table, self.annotations().field(0), np.concatenate(values)), REMOVED_SCHEMA.empty_table())

    def record(self, state: Estimated) -> dict[str, Any]:
        return state.record


def _perplexity(words: HashedWords, model: NgramModel) -> np.ndarray:
    """Of each document. Sums go over a document's words in their order, wherever it stands."""
    length_D = words.count_D + 1  # with its end
    log_p = np.bincount(np.repeat(np.arange(len(length_D)), length_D), model.log_probabilities(words.by_document()))
    return np.exp(-log_p / length_D)


@lru_cache(maxsize=1)
def _load(path: Path) -> NgramModel:
    with np.load(path) as arrays:
        orders = (len(arrays.files) - 1) // len(Order._fields)
        return NgramModel(arrays["vocabulary"], tuple(Order(*(arrays[f"{n} {name}"] for name in Order._fields)) for n in range(orders)))
