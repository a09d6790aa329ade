"""C4's rules for web pages."""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, set_column
from tasks.steps.rules import Rule, decide_by

if TYPE_CHECKING:
    import polars as pl

POLICY_PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CLOSING_QUOTE = """["'”’»]"""
CLOSING = """["'”’»)\\]]*"""  # quotes and brackets that may follow the end of a sentence


class C4(BatchStep):
    """C4's heuristics (arXiv 1910.10683, section 2.2), all but its list of bad words. Made for web pages: of code, verse, tables and
    dictionary entries they leave little, so mind `skip_domains`.

    Rewrites: removes citation markers, and lines without terminal punctuation, with too few words or with one of `line_phrases`. Drops
    documents with a curly bracket, with "lorem ipsum", or with too few sentences left. Phrases are found in any case. A removed document has
    the text that it came with.
    """

    step: Literal["c4"]
    version: ClassVar[int] = 2
    curly_bracket: bool = Field(default=True, description="drop documents that hold one")
    lorem_ipsum: bool = Field(default=True, description="drop documents that hold it")
    citation_markers: bool = Field(default=True, description="remove [1], [edit] and [citation needed]; not for MediaWiki's own markup")
    terminal_punctuation: bool = Field(default=True, description="keep only lines that end with '.', '?', '!' or a closing quote, and not with '...'")
    min_words_per_line: int | None = 5
    line_phrases: tuple[str, ...] = Field(default=("javascript", *POLICY_PHRASES), description="lines that hold one are removed")
    min_sentences: int | None = Field(
        default=3, description="ends of sentences before white space or the end of a line, where a closing quote is one too"
    )

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        import polars as pl

        text = pl.Series(pl.from_arrow(table["text"])).str
        rewritten = self._rewrite(table["text"])
        sentences = pl.Series(pl.from_arrow(rewritten)).str.count_matches(rf"(?m)[.?!]{CLOSING}(\s|$)|{CLOSING_QUOTE}\s*$")
        rules = [
            Rule("curly bracket", text.count_matches("{", literal=True).to_numpy(), maximum=0 if self.curly_bracket else None),
            Rule("lorem ipsum", text.count_matches("(?i)lorem ipsum").to_numpy(), maximum=0 if self.lorem_ipsum else None),
            Rule("too few sentences", sentences.to_numpy(), minimum=self.min_sentences),
        ]
        kept, removed = decide_by(table.append_column("rewritten", rewritten), rules)
        return StepOutcome(set_column(kept, DOCUMENT_SCHEMA.field("text"), kept["rewritten"]).drop_columns("rewritten"), removed)

    def _rewrite(self, texts: pa.ChunkedArray) -> pa.Array:
        """The texts without citation markers and without the lines that break a rule."""
        import polars as pl

        text = pl.Series(pl.from_arrow(texts))
        if self.citation_markers:
            text = text.str.replace_all(r"\[(\d*|edit|citation needed)\]", "")
        split = pc.split_pattern(text.to_arrow().cast(pa.string()), "\n")
        lines = split.flatten()
        keep = self._good(pl.Series(pl.from_arrow(lines)))
        before = np.concatenate([[0], np.cumsum(keep)])  # lines that stay before each line
        kept_before = pa.array(before[split.offsets.to_numpy()], pa.int32())
        return pc.binary_join(pa.ListArray.from_arrays(kept_before, lines.filter(pa.array(keep))), "\n")

    def _good(self, line: "pl.Series") -> np.ndarray:
        import polars as pl

        good = pl.repeat(True, len(line), eager=True)
        if self.terminal_punctuation:
            good &= line.str.contains(rf"([.?!]{CLOSING}|{CLOSING_QUOTE})\s*$") & ~line.str.contains(r"\.\.\.\s*$")
        if self.min_words_per_line is not None:
            good &= line.str.count_matches(r"\S+") >= self.min_words_per_line
        if self.line_phrases:
            good &= ~line.str.contains("(?i)" + "|".join(map(re.escape, self.line_phrases)))
        return good.to_numpy()
