"""Rules about the shape of a document: Gopher's for quality and for repetition. A rule whose bound is null is off."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide
from tasks.steps.ngrams import repeated, repeated_ngrams, sum_by_document
from tasks.steps.segments import TextChunk, chunks, hash_word

STOP_WORDS = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),  # the paper's
    "fr": ("le", "la", "les", "de", "des", "du", "et", "est", "une", "dans", "que", "pour"),
    "es": ("el", "la", "los", "de", "del", "y", "es", "una", "en", "que", "por", "con"),
}


class Rule(NamedTuple):
    """One rule over a batch of D documents. A comparison with NaN breaks nothing: that's a document that the rule is not for."""

    reason: str
    value_D: np.ndarray
    minimum: float | None = None
    maximum: float | None = None


def decide_by(table: pa.Table, rules: list[Rule]) -> StepOutcome:
    """Drops a document for the first rule that it breaks."""
    reason_D = np.full(table.num_rows, None, object)
    value_D, threshold_D = np.zeros(table.num_rows), np.zeros(table.num_rows)
    decided_D = np.zeros(table.num_rows, bool)
    for rule in rules:
        for bound, broken in ((rule.minimum, np.less), (rule.maximum, np.greater)):
            if bound is not None:
                first_D = broken(rule.value_D, bound) & ~decided_D
                decided_D |= first_D
                reason_D[first_D], value_D[first_D], threshold_D[first_D] = rule.reason, rule.value_D[first_D], bound
    return decide(table, reason_D, value_D, threshold_D)


def measure(texts: pa.ChunkedArray, of_chunk: Callable[[TextChunk], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `of_chunk` measures, one number per document and name, over all texts."""
    measured = [of_chunk(chunk) for chunk in chunks(texts)]
    return {name: np.concatenate([part[name] for part in measured]) for name in measured[0]}


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


class GopherRepetition(BatchStep):
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

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        shares = measure(table["text"], self._measure)
        return decide_by(
            table,
            [
                Rule("repeated lines", shares["lines"], maximum=self.max_duplicate_lines),
                Rule("repeated paragraphs", shares["paragraphs"], maximum=self.max_duplicate_paragraphs),
                Rule("characters in repeated lines", shares["line characters"], maximum=self.max_duplicate_line_characters),
                Rule("characters in repeated paragraphs", shares["paragraph characters"], maximum=self.max_duplicate_paragraph_characters),
                *(Rule(f"most frequent {n}-gram", shares[f"top {n}"], maximum=bound) for n, bound in self.max_top_ngram_characters.items()),
                *(Rule(f"repeated {n}-grams", shares[f"repeated {n}"], maximum=bound) for n, bound in self.max_duplicate_ngram_characters.items()),
            ],
        )

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
