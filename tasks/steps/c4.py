"""C4's rules for web pages."""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tasks.steps.rewriting import KEEP_ORIGINAL, RewriteStep, without_lines
from tasks.steps.rules import Rule

if TYPE_CHECKING:
    import polars as pl

POLICY_PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CLOSING_QUOTE = """["'”’»]"""
CLOSING = """["'”’»)\\]]*"""  # quotes and brackets that may follow the end of a sentence


class C4(RewriteStep):
    """C4's heuristics (arXiv 1910.10683, section 2.2), all but its list of bad words. Made for web pages: of code, verse, tables and
    dictionary entries they leave little, so mind `skip_domains`.

    Rewrites: removes citation markers, and lines without terminal punctuation, with too few words or with one of `line_phrases`. Drops
    documents with a curly bracket, with "lorem ipsum", or with too few sentences left. Phrases are found in any case.
    """

    step: Literal["c4"]
    version: ClassVar[int] = 2
    keep_original: bool = Field(default=False, description=f"{KEEP_ORIGINAL}; off, because it doubles a corpus of web pages")
    curly_bracket: bool = Field(default=True, description="drop documents that hold one")
    lorem_ipsum: bool = Field(default=True, description="drop documents that hold it")
    citation_markers: bool = Field(default=True, description="remove [1], [edit] and [citation needed]; not for MediaWiki's own markup")
    terminal_punctuation: bool = Field(default=True, description="keep only lines that end with '.', '?', '!' or a closing quote, and not with '...'")
    min_words_per_line: int | None = 5
    line_phrases: tuple[str, ...] = Field(default=("javascript", *POLICY_PHRASES), description="lines that hold one are removed")
    min_sentences: int | None = Field(
        default=3, description="ends of sentences before white space or the end of a line, where a closing quote is one too"
    )

    def rules(self, old: "pl.Series", new: "pl.Series") -> list[Rule]:
        sentences = new.str.count_matches(rf"(?m)[.?!]{CLOSING}(\s|$)|{CLOSING_QUOTE}\s*$")
        return [
            Rule("curly bracket", old.str.count_matches("{", literal=True).to_numpy(), maximum=0 if self.curly_bracket else None),
            Rule("lorem ipsum", old.str.count_matches("(?i)lorem ipsum").to_numpy(), maximum=0 if self.lorem_ipsum else None),
            Rule("too few sentences", sentences.to_numpy(), minimum=self.min_sentences),
        ]

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        """Without citation markers and without the lines that break a rule."""
        return without_lines(text.str.replace_all(r"\[(\d*|edit|citation needed)\]", "") if self.citation_markers else text, self._is_bad)

    def _is_bad(self, line: "pl.Series") -> np.ndarray:
        bad = np.zeros(len(line), bool)
        if self.terminal_punctuation:
            bad |= ~line.str.contains(rf"([.?!]{CLOSING}|{CLOSING_QUOTE})\s*$").to_numpy() | line.str.contains(r"\.\.\.\s*$").to_numpy()
        if self.min_words_per_line is not None:
            bad |= line.str.count_matches(r"\S+").to_numpy() < self.min_words_per_line
        if self.line_phrases:
            bad |= line.str.contains("(?i)" + "|".join(map(re.escape, self.line_phrases))).to_numpy()
        return bad
