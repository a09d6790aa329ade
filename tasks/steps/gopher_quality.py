"""Gopher's rules for quality."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.steps.base import BatchStep, StepContext, StepOutcome
from tasks.steps.ngrams import sum_by_document
from tasks.steps.rules import Rule, decide_by, measure
from tasks.steps.segments import TextChunk, hash_word

STOP_WORDS = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),  # the paper's
    "fr": ("le", "la", "les", "de", "des", "du", "et", "est", "une", "dans", "que", "pour"),
    "es": ("el", "la", "los", "de", "del", "y", "es", "una", "en", "que", "por", "con"),
}


class GopherQuality(BatchStep):
    """Gopher's quality rules (arXiv 2112.11446, A1.1): length, mean word length, symbols, bullet points, ellipses, letters, stop words.

    Words are what stands between white space. Stop words are looked for in the document's `lang`; where that is unknown or has no list here,
    the rule does not apply.
    """

    step: Literal["gopher-quality"]
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = Field(default=3, description="characters")
    max_mean_word_length: float | None = Field(default=10, description="characters")
    max_hash_ratio: float | None = Field(default=0.1, description="of '#' to words")
    max_ellipsis_ratio: float | None = Field(default=0.1, description="of '...' and '…' to words")
    max_bullet_lines: float | None = Field(default=0.9, description="share of lines that begin with a bullet point")
    max_ellipsis_lines: float | None = Field(default=0.3, description="share of lines that end with an ellipsis")
    min_alphabetic_words: float | None = Field(default=0.8, description="share of words with at least one letter")
    min_stop_words: int | None = Field(default=2, description="different ones")
    stop_words: dict[str, tuple[str, ...]] = Field(default=STOP_WORDS, description="by language")

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        words = measure(table["text"], self._measure_words)
        marks = _count_marks(table["text"])
        num_words_D = np.maximum(words["words"], 1)
        num_lines_D = np.maximum(marks["lines"], 1)
        rules = [
            Rule("too few words", words["words"], minimum=self.min_words),
            Rule("too many words", words["words"], maximum=self.max_words),
            Rule("short words", words["characters"] / num_words_D, minimum=self.min_mean_word_length),
            Rule("long words", words["characters"] / num_words_D, maximum=self.max_mean_word_length),
            Rule("hash signs", marks["hashes"] / num_words_D, maximum=self.max_hash_ratio),
            Rule("ellipses", marks["ellipses"] / num_words_D, maximum=self.max_ellipsis_ratio),
            Rule("bullet points", marks["bullet lines"] / num_lines_D, maximum=self.max_bullet_lines),
            Rule("lines that end with an ellipsis", marks["ellipsis lines"] / num_lines_D, maximum=self.max_ellipsis_lines),
            Rule("words without letters", words["alphabetic"] / num_words_D, minimum=self.min_alphabetic_words),
        ]
        if self.min_stop_words is not None:
            lang_D = np.array(table["lang"].to_pylist(), object)
            stop_words_D = np.full(table.num_rows, np.nan)  # where there is no list for the language
            for lang in self.stop_words:
                stop_words_D[lang_D == lang] = words[f"stop words {lang}"][lang_D == lang]
            rules.append(Rule("too few stop words", stop_words_D, minimum=self.min_stop_words))
        return decide_by(table, rules)

    def _measure_words(self, chunk: TextChunk) -> dict[str, np.ndarray]:
        words = chunk.words
        counts = {
            "words": words.count_D,
            "alphabetic": sum_by_document(chunk.letters_S(words) > 0, words),
            "characters": sum_by_document(chunk.characters_S(words), words),
        }
        if self.min_stop_words is not None:
            hash_S, document_S = chunk.hash_S(words), words.document_S
            for lang, stop_words in self.stop_words.items():
                found_D = counts[f"stop words {lang}"] = np.zeros(len(words.count_D), np.int64)
                for stop_word in stop_words:
                    found_D[np.unique(document_S[hash_S == hash_word(stop_word)])] += 1
        return counts


def _count_marks(texts: pa.ChunkedArray) -> dict[str, np.ndarray]:
    import polars as pl

    text = pl.Series(pl.from_arrow(texts)).str
    counts = {
        "hashes": text.count_matches("#", literal=True),
        "ellipses": text.count_matches("...", literal=True) + text.count_matches("…", literal=True),
        "lines": text.count_matches(r"\S[^\n]*"),
        "bullet lines": text.count_matches(r"(?m)^[^\S\n]*[-*•‣●▪]"),
        "ellipsis lines": text.count_matches(r"(?m)(\.\.\.|…)[^\S\n]*$"),
    }
    return {name: series.to_numpy().astype(np.int64) for name, series in counts.items()}
