"""Lines of web pages that are no text."""

import re
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tasks.steps.rewriting import RewriteStep, without_lines
from tasks.steps.rules import Rule

if TYPE_CHECKING:
    import polars as pl

COUNTED = ("likes?", "shares?", "comments?", "replies", "retweets?", "reposts?", "views?", "points?", "votes?", "followers?")


class BoilerplateLines(RewriteStep):
    """RefinedWeb's corrections of lines (arXiv 2306.01116, appendix G.2): removes lines that are mostly capital letters, all digits, a counter
    (`3 likes`) or one word, and short lines that hold what pages say of themselves; drops a document of which these are too many words.

    Made for web pages: titles, verse and tables have such lines too, so mind `skip_domains`.
    """

    step: Literal["boilerplate-lines"]
    max_uppercase: float | None = Field(default=0.5, ge=0, le=1, description="share of a line's letters; null: any")
    numeric: bool = Field(default=True, description="remove lines of digits, punctuation and symbols alone")
    counters: tuple[str, ...] = Field(default=COUNTED, description="regular expressions of what is counted, in a line of a number and this")
    min_words: int = Field(default=2, ge=0, description="of a line")
    short_line_words: int = Field(default=10, ge=0, description="of lines in which the phrases are looked for, in any case")
    first_phrases: tuple[str, ...] = Field(default=("sign in", "sign-in", "log in", "skip to"), description="that begin a short line")
    last_phrases: tuple[str, ...] = Field(default=("read more", "see all", "show more"), description="that end one, but for punctuation")
    phrases: tuple[str, ...] = Field(default=("items in cart", "all rights reserved", "share on facebook"), description="that stand in one")
    max_removed_words: float | None = Field(default=0.05, ge=0, le=1, description="share of a document's words, else it is dropped; null: any")

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        return without_lines(text, self._is_boilerplate)

    def rules(self, old: "pl.Series", new: "pl.Series") -> list[Rule]:
        old_D, new_D = (text.str.count_matches(r"\S+").to_numpy().astype(np.int64) for text in (old, new))
        return [Rule("boilerplate", (old_D - new_D) / np.maximum(old_D, 1), maximum=self.max_removed_words)]

    def _is_boilerplate(self, line: "pl.Series") -> np.ndarray:
        words_S = line.str.count_matches(r"\S+").to_numpy()
        bad_S = words_S < self.min_words
        if self.max_uppercase is not None:
            bad_S |= line.str.count_matches(r"\p{Lu}").to_numpy() > self.max_uppercase * line.str.count_matches(r"\p{L}").to_numpy()
        if self.numeric:
            bad_S |= ~line.str.contains(r"[^\p{Nd}\p{P}\p{S}\s]").to_numpy()
        if self.counters:
            bad_S |= line.str.contains(rf"(?i)^\s*\p{{Nd}}[\p{{Nd}}.,]*[km]?\s+({'|'.join(self.counters)})\W*$").to_numpy()
        short_S = words_S <= self.short_line_words
        for phrases, form in ((self.first_phrases, r"^\W*({})"), (self.last_phrases, r"({})\W*$"), (self.phrases, "({})")):
            if phrases:
                bad_S |= short_S & line.str.contains("(?i)" + form.format("|".join(map(re.escape, phrases)))).to_numpy()
        return bad_S & (words_S > 0)  # empty lines part paragraphs
