"""Gopher's rules for quality."""

from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.steps.ngrams import sum_by_document
from tasks.steps.rules import Rule, RuleStep, measure
from tasks.steps.segments import TextChunk, word_set

STOP_WORDS = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),  # the paper's
    "fr": ("le", "la", "les", "de", "des", "du", "et", "est", "une", "dans", "que", "pour"),
    "es": ("el", "la", "los", "de", "del", "y", "es", "una", "en", "que", "por", "con"),
}


class GopherQuality(RuleStep):
    """Gopher's quality rules (arXiv 2112.11446, A1.1): length, mean word length, symbols, bullet points, ellipses, letters, stop words.

    Words are what stands between white space. Stop words are looked for in the document's `lang`; where that is unknown or has no list here,
    the rule does not apply.
    """

    step: Literal["gopher-quality"]
    version: ClassVar[int] = 2
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = Field(default=3, description="characters")
    max_mean_word_length: float | None = Field(default=10, description="characters")
    max_hash_ratio: float | None = Field(default=0.1, description="of '#' to words")
    max_ellipsis_ratio: float | None = Field(default=0.1, description="of '...' and '…' to words")
    max_bullet_lines: float | None = Field(default=0.9, description="share of lines that begin with a bullet point")
    bullets: str = Field(default="-*•‣●▪", description="the characters that are bullet points")
    max_ellipsis_lines: float | None = Field(default=0.3, description="share of lines that end with an ellipsis")
    min_alphabetic_words: float | None = Field(default=0.8, description="share of words with at least one letter")
    min_stop_words: int | None = Field(default=2, description="different ones")
    stop_words: dict[str, tuple[str, ...]] = Field(default=STOP_WORDS, description="by language")

    def rules(self, table: pa.Table) -> list[Rule]:
        lang_D = np.array(table["lang"].to_pylist(), object)
        # by language, of those that occur
        stop_words = {lang: words for lang, words in self.stop_words.items() if self.min_stop_words is not None and lang in lang_D}
        words = measure(table["text"], partial(_measure_words, stop_words, self.bullets))
        marks = _count_marks(table["text"])
        num_words_D, num_lines_D = np.maximum(words["words"], 1), np.maximum(words["lines"], 1)
        stop_words_D = np.full(table.num_rows, np.nan)  # where there is no list for the language
        for lang in stop_words:
            stop_words_D[lang_D == lang] = words[f"stop words {lang}"][lang_D == lang]
        return [
            Rule("too few words", words["words"], minimum=self.min_words),
            Rule("too many words", words["words"], maximum=self.max_words),
            Rule("short words", words["characters"] / num_words_D, minimum=self.min_mean_word_length),
            Rule("long words", words["characters"] / num_words_D, maximum=self.max_mean_word_length),
            Rule("hash signs", marks["hashes"] / num_words_D, maximum=self.max_hash_ratio),
            Rule("ellipses", marks["ellipses"] / num_words_D, maximum=self.max_ellipsis_ratio),
            Rule("bullet points", words["bullet lines"] / num_lines_D, maximum=self.max_bullet_lines),
            Rule("lines that end with an ellipsis", marks["ellipsis lines"] / num_lines_D, maximum=self.max_ellipsis_lines),
            Rule("words without letters", words["alphabetic"] / num_words_D, minimum=self.min_alphabetic_words),
            Rule("too few stop words", stop_words_D, minimum=self.min_stop_words),
        ]


def _measure_words(stop_words: dict[str, tuple[str, ...]], bullets: str, chunk: TextChunk) -> dict[str, np.ndarray]:
    words, line_words = chunk.words, chunk.line_words
    with_bullet = np.any([chunk.stands_at(mark.encode(), words.start_S[line_words]) for mark in bullets], axis=0)
    counts = {
        "words": words.count_D,
        "alphabetic": sum_by_document(chunk.with_letter_S(words), words),
        "characters": sum_by_document(chunk.characters_S(words), words),
        "lines": np.diff(np.searchsorted(line_words, words.first_D)),
        "bullet lines": np.diff(np.searchsorted(line_words[with_bullet], words.first_D)),
    }
    if stop_words:
        counts |= _count_stop_words(stop_words, chunk)
    return counts


def _count_stop_words(stop_words: dict[str, tuple[str, ...]], chunk: TextChunk) -> dict[str, np.ndarray]:
    """How many different ones of each language each document has."""
    known = word_set(frozenset(word for words in stop_words.values() for word in words))
    found, word = known.find(chunk.hash_S(chunk.words))
    has_DW = np.zeros((len(chunk.words.count_D), len(known.words)), bool)
    has_DW[chunk.words.document_S[found], word] = True
    return {f"stop words {lang}": has_DW[:, [word in words for word in known.words]].sum(axis=1) for lang, words in stop_words.items()}


def _count_marks(texts: pa.ChunkedArray) -> dict[str, np.ndarray]:
    import polars as pl

    text = pl.Series(pl.from_arrow(texts)).str
    counts = {
        "hashes": text.count_matches("#", literal=True),
        "ellipses": text.count_matches("...", literal=True) + text.count_matches("…", literal=True),
        "ellipsis lines": text.count_matches(r"(?m)(\.\.\.|…)[^\S\n]*$"),
    }
    return {name: series.to_numpy().astype(np.int64) for name, series in counts.items()}
