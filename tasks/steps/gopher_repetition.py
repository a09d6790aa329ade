"""Gopher's rules for repetition."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

from tasks.steps.ngrams import repeated, repeated_ngrams, sum_by_document
from tasks.steps.rules import Rule, RuleStep, measure
from tasks.steps.segments import TextChunk


class GopherRepetition(RuleStep):
    """Gopher's repetition rules (arXiv 2112.11446, Table A1): repeated lines and paragraphs, and characters inside repeated word n-grams.

    Shares of characters are of the whole text. A line, paragraph or n-gram counts from its second occurrence; a character inside
    overlapping repeated n-grams counts once. The most frequent n-gram counts with all its occurrences, if it has two. Documents with fewer
    than `min_words` words are not judged: in one sentence any word said twice is a large share (the paper has none so short).
    """

    step: Literal["gopher-repetition"]
    min_words: NonNegativeInt = 50
    max_duplicate_lines: float | None = 0.30
    max_duplicate_paragraphs: float | None = 0.30
    max_duplicate_line_characters: float | None = 0.20
    max_duplicate_paragraph_characters: float | None = 0.20
    max_top_ngram_characters: dict[PositiveInt, float] = Field(default={2: 0.20, 3: 0.18, 4: 0.16}, description="by n")
    max_duplicate_ngram_characters: dict[PositiveInt, float] = Field(
        default={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}, description="by n"
    )

    def rules(self, table: pa.Table) -> list[Rule]:
        shares = measure(table["text"], self._measure)
        return [
            Rule("repeated lines", shares["lines"], maximum=self.max_duplicate_lines),
            Rule("repeated paragraphs", shares["paragraphs"], maximum=self.max_duplicate_paragraphs),
            Rule("characters in repeated lines", shares["line characters"], maximum=self.max_duplicate_line_characters),
            Rule("characters in repeated paragraphs", shares["paragraph characters"], maximum=self.max_duplicate_paragraph_characters),
            *(Rule(f"most frequent {n}-gram", shares[f"top {n}"], maximum=bound) for n, bound in self.max_top_ngram_characters.items()),
            *(Rule(f"repeated {n}-grams", shares[f"repeated {n}"], maximum=bound) for n, bound in self.max_duplicate_ngram_characters.items()),
        ]

    def _measure(self, chunk: TextChunk) -> dict[str, np.ndarray]:
        long_D = chunk.words.count_D >= self.min_words
        characters_D = np.where(long_D, np.maximum(chunk.characters_D, 1), np.inf)
        shares = {}
        for name, segments in (("line", chunk.lines), ("paragraph", chunk.paragraphs)):
            repeated_S = repeated(chunk, segments)
            shares[f"{name}s"] = sum_by_document(repeated_S, segments) / np.where(long_D, np.maximum(segments.count_D, 1), np.inf)
            shares[f"{name} characters"] = sum_by_document(np.where(repeated_S, chunk.characters_S(segments), 0), segments) / characters_D
        top_D, covered_D = repeated_ngrams(chunk, set(self.max_top_ngram_characters), set(self.max_duplicate_ngram_characters))
        shares |= {f"top {n}": count_D / characters_D for n, count_D in top_D.items()}
        shares |= {f"repeated {n}": count_D / characters_D for n, count_D in covered_D.items()}
        return shares
