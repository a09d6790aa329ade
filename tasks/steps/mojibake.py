"""Text that was decoded with the wrong encoding."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.steps.rewriting import RewriteStep, changed_where

if TYPE_CHECKING:
    import polars as pl


class Mojibake(RewriteStep):
    """Mends text that was decoded with the wrong encoding (`schÃ¶n` for `schön`), by ftfy's heuristics (doi 10.5281/zenodo.2591652).

    Only documents that ftfy calls bad are touched, which is what ftfy itself does line by line.
    """

    step: Literal["mojibake"]
    unescape_html: bool = Field(default=False, description="also turn HTML entities into characters in lines without '<'")

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        import ftfy
        import polars as pl
        from ftfy.badness import is_bad

        config = ftfy.TextFixerConfig(
            unescape_html="auto" if self.unescape_html else False,
            remove_terminal_escapes=False,
            fix_latin_ligatures=False,
            fix_character_width=False,
            uncurl_quotes=False,
            fix_line_breaks=False,
            fix_surrogates=False,
            remove_control_chars=False,
            normalization=None,
        )
        may_change = text.str.contains(r"[^\x00-\x7f]|&\w+;|&#" if self.unescape_html else r"[^\x00-\x7f]")
        rows = may_change.arg_true()
        if not self.unescape_html:
            rows = rows.filter(pl.Series([is_bad(one) for one in text.gather(rows)], dtype=pl.Boolean))
        return changed_where(text, rows, lambda one: ftfy.fix_text(one, config))
