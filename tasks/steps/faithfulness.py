"""Whether a rewriting says what the text said, as far as words, figures and lengths tell."""

import re

from pydantic import Field

from models.frozen import Frozen

_WORD = re.compile(r"[^\W\d_]{4,}")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


class Faithfulness(Frozen):
    """Bounds that a rewriting must keep. They catch another text, an invented figure, an answer cut short or run on; not a fact turned round."""

    min_length_ratio: float = Field(default=0.2, ge=0, description="characters of the rewriting to those of the text")
    max_length_ratio: float = Field(default=3.0, gt=0)
    min_shared_words: float = Field(
        default=0.25, ge=0, le=1, description="share of the rewriting's different words of 4 letters or more that the text has"
    )
    max_new_figures: float = Field(default=0.1, ge=0, le=1, description="share of the rewriting's different figures that the text does not have")

    def fault(self, text: str, rewriting: str) -> str | None:
        """Which bound is broken first, in words; None when none is."""
        ratio = len(rewriting) / max(len(text), 1)
        if not self.min_length_ratio <= ratio <= self.max_length_ratio:
            return "too short" if ratio < self.min_length_ratio else "too long"
        figures = set(_FIGURE.findall(rewriting))
        if figures and len(figures - set(_FIGURE.findall(text))) / len(figures) > self.max_new_figures:
            return "invented figures"
        words = _words(rewriting)
        if words and len(words & _words(text)) / len(words) < self.min_shared_words:
            return "another text"
        return None


def _words(text: str) -> set[str]:
    """Their first five letters: a paraphrase inflects."""
    return {word.lower()[:5] for word in _WORD.findall(text)}
