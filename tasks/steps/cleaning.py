"""Characters and white space."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from tasks.steps.rewriting import KEEP_ORIGINAL, RewriteStep

if TYPE_CHECKING:
    import polars as pl


class Normalize(RewriteStep):
    """Unicode NFC (UAX 15), one kind of newline, no control characters, no space at the end of a line, few empty lines in a row.

    Nothing that is content goes: indentation, tabs, joiners inside words and case stay. Form feeds and Unicode's line and paragraph
    separators become newlines.
    """

    step: Literal["normalize"]
    version: ClassVar[int] = 2
    keep_original: bool = Field(default=False, description=f"{KEEP_ORIGINAL}; off, because nothing that is content goes")
    max_empty_lines: NonNegativeInt = Field(default=2, description="in a row; code has two between functions")

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        most = "\n" * (self.max_empty_lines + 1)
        # each pattern goes over the text once, whatever the text: none can look ahead further than its match
        return (
            text.str.replace_all(r"\r\n?|[\x0b\x0c\u{85}\u{2028}\u{2029}]", "\n")
            .str.replace_all(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u{feff}]", "")
            .str.normalize("NFC")
            .str.replace_all(r"[^\S\n]+(\n|\z)", "$1")
            .str.replace_all(most + "\n+", most)
            .str.strip_chars("\n")
        )
