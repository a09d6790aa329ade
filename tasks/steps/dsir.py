"""DSIR's importance weights: how much likelier a document's n-grams are in a target than in the corpus."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from models.frozen import StudyError
from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, set_column
from tasks.steps.hashed_words import hashed_words
from tasks.steps.reference import Reference

WEIGHT = pa.field("log_importance", pa.float64())
_MIX = np.uint64(0xD6E8FEB86659FD93)


class Counts(NamedTuple):
    """n-grams by bucket, int64 [buckets]."""

    target: np.ndarray
    other: np.ndarray


class Weights(NamedTuple):
    log_ratio: np.ndarray  # log p - log q, float64 [buckets]
    divergence: float  # of q from p (Kullback and Leibler), nats per n-gram


class Dsir(CorpusStep):
    """Annotates `log_importance`, DSIR's log importance weight (arXiv 2302.03169, section 3): sum over buckets of z_j (log p_j - log q_j), where z
    counts a document's word 1- to n-grams by hash bucket, p is their distribution in the target's documents and q that in all others (both with one
    added to each count). `score-sampling` with this score and temperature 1 is its resampling by Gumbel's top-k.

    As in the paper the weight is a sum, not a mean: long documents have large ones, of either sign.
    """

    step: Literal["dsir"]
    target: Reference = Field(description="the documents that the corpus shall become like")
    ngram_words: PositiveInt = Field(default=2, description="longest n-gram")
    buckets: PositiveInt = 10_000

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"target.domains": self.target.domains}

    def annotations(self) -> pa.Schema:
        return pa.schema([WEIGHT])

    def map(self, table: pa.Table, context: StepContext) -> Counts:
        is_target = self.target.shown_by(table)
        return Counts(*(self._count(table["text"].filter(pa.array(chosen))) for chosen in (is_target, ~is_target)))

    def reduce(self, digests: list[Counts], context: StepContext) -> Weights:
        target, other = (np.sum(counts, axis=0) for counts in zip(*digests, strict=True))
        for name, counts in (("target", target), ("other", other)):
            if not counts.any():
                raise StudyError(
                    f"dsir finds no word in the {name} documents of recipe '{context.recipe}': its target is {self.target}; name domains or sources "
                    "that the corpus has, but not all of it."
                )
        p, q = ((counts + 1) / (counts.sum() + self.buckets) for counts in (target, other))
        log_ratio = np.log(p) - np.log(q)
        return Weights(log_ratio, float(p @ log_ratio))

    def apply(self, table: pa.Table, state: Weights, context: StepContext) -> StepOutcome:
        weights = [
            np.bincount(document_N, state.log_ratio[bucket_N], num_documents)  # adds in the order of the text, wherever the document stands
            for bucket_N, document_N, num_documents in self._ngrams(table["text"])
        ]
        return StepOutcome(set_column(table, WEIGHT, np.concatenate(weights)), REMOVED_SCHEMA.empty_table())

    def record(self, state: Weights) -> dict[str, Any]:
        return {"divergence_nats_per_ngram": round(state.divergence, 9)}

    def _count(self, texts: pa.ChunkedArray) -> np.ndarray:
        counts = [np.bincount(bucket_N, minlength=self.buckets) for bucket_N, _, _ in self._ngrams(texts)]
        return np.sum(counts, axis=0) if counts else np.zeros(self.buckets, np.int64)

    def _ngrams(self, texts: pa.ChunkedArray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Piece by piece: bucket and document of each of N n-grams, and how many documents there are."""
        for word_S, document_S, count_D in hashed_words(texts):
            key_S, buckets, documents = np.zeros(len(word_S), np.uint64), [], []
            for n in range(1, self.ngram_words + 1):
                key_S = key_S[: len(word_S) - n + 1] * _MIX + word_S[n - 1 :]
                inside = document_S[: len(key_S)] == document_S[n - 1 :]
                mixed = (key_S ^ (key_S >> np.uint64(32))) * _MIX >> np.uint64(32)  # the low bits of these hashes alone would not do
                buckets.append((mixed % np.uint64(self.buckets)).astype(np.int64)[inside])
                documents.append(document_S[: len(key_S)][inside])
            yield np.concatenate(buckets), np.concatenate(documents), len(count_D)
