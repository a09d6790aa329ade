"""Beginnings of held-out documents, cut as those of training documents are.

Shape suffixes: E excerpts, L tokens of an excerpt and the end-of-text token before it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from tasks.benchmarks.bits_per_byte import encode
from tasks.benchmarks.items import Document
from tasks.probes.training_text import draw

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EVERYWHERE = "all domains"


class HeldoutBeginnings:
    """All held-out documents as tokens, by domain."""

    def __init__(self, documents: Sequence[Document], tokenizer: "PreTrainedTokenizerFast"):
        self.end_of_text = cast(int, tokenizer.eos_token_id)
        self.by_domain: dict[str, list[list[int]]] = defaultdict(list)
        for document, ids in zip(documents, encode(tokenizer, [document.text for document in documents]), strict=True):
            self.by_domain[document.domain].append(ids)
            self.by_domain[EVERYWHERE].append(ids)

    def excerpts(self, domain: str, num_tokens: int, max_documents: int, seed: int) -> np.ndarray:
        """int64 [E, L]: of documents that have `num_tokens` or more, drawn by `seed`."""
        documents = self.by_domain.get(domain, [])
        long_enough = np.array([number for number, ids in enumerate(documents) if len(ids) >= num_tokens], dtype=np.int64)
        rows = [[self.end_of_text, *documents[number][:num_tokens]] for number in draw(long_enough, max_documents, seed, domain).tolist()]
        return np.array(rows, dtype=np.int64).reshape(len(rows), num_tokens + 1)
