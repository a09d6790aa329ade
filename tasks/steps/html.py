"""Web pages that came as HTML."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.steps.base import AskedRemoval
from tasks.steps.rewriting import RewriteStep, changed_where

if TYPE_CHECKING:
    import polars as pl


class HtmlToText(AskedRemoval, RewriteStep):
    """Turns HTML pages into text by resiliparse's extraction of the main content, as DCLM does (arXiv 2406.11794, section 4.2).

    For sources that hold pages as they are; WARC files are turned into text when they are read. A document is taken for a page when it begins with a
    document type or a tag that only pages begin with; all others stay as they are.
    """

    step: Literal["html-to-text"]
    main_content: bool = Field(default=True, description="without navigation, headers and footers")
    links: bool = Field(default=False, description="keep the addresses of links")

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        from resiliparse.extract.html2text import extract_plain_text

        def extract(page: str) -> str:
            return extract_plain_text(page, main_content=self.main_content, alt_texts=False, links=self.links)

        pages = text.str.contains(r"(?i)\A\s*(<\?xml[^>]*>\s*)?(<!--[^>]*-->\s*)*<(!doctype\s+html|html|head|body)\b").arg_true()
        return changed_where(text, pages, extract)
