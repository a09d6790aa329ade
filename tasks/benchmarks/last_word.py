"""Passages of held-out documents without their last word, as in LAMBADA (arXiv 1606.06031). A model gets them behind an end-of-text token, as it gets
documents in training, and is asked for the word.

A word stands between spaces: in a script without spaces a passage has no last word.
"""

import random
import re
import unicodedata
from collections.abc import Iterable, Iterator

from models.frozen import Frozen
from tasks.benchmarks.items import Document

PASSAGE_BYTES = 300  # of UTF-8, at most: a few sentences, which fit the context of the smallest models
MIN_WORDS = 10  # before the last one: something to guess it from
SPACELESS_SCRIPTS = {"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE"}


class LastWordItem(Frozen):
    id: str  # of the held-out document, and which of its passages
    passage: str  # without its last word
    word: str  # with the space before it


def last_word_items(name: str, documents: Iterable[Document], seed: int, max_items: int) -> list[LastWordItem]:
    """Items drawn by `seed`, in the order of their documents."""
    found = [
        LastWordItem(id=f"{document.id}#{number}", passage=passage, word=word)
        for document in documents
        for number, (passage, word) in enumerate(passages(document.text))
    ]
    chosen = random.Random(f"{seed}/{name}").sample(range(len(found)), min(max_items, len(found)))
    return [found[index] for index in sorted(chosen)]


def passages(text: str) -> Iterator[tuple[str, str]]:
    """A text cut into passages of at most PASSAGE_BYTES, one behind the other: (all but the last word, the space and the last word). A passage ends
    with a sentence where it can."""
    rest = text.strip()
    while rest:
        window = rest[:PASSAGE_BYTES].encode()[:PASSAGE_BYTES].decode(errors="ignore")
        spans = list(re.finditer(r"\S+", window))
        if len(window) < len(rest):
            spans.pop()  # perhaps cut within
        words = [(span.start(), word) for span in spans[MIN_WORDS:] if window[span.start() - 1] == " " and (word := bare_word(span.group()))]
        ended = [(start, word) for start, word in words if window[start + len(word) : start + len(word) + 1] in (*".!?…।؟", "")]
        if words:
            start, word = (ended or words)[-1]
            yield window[: start - 1], f" {word}"
            window = window[:start] + window[start:].split(maxsplit=1)[0]
        elif len(window) < len(rest) and spans:
            window = window[: spans[-1].end()]
        rest = rest[len(window) :].lstrip()


def bare_word(token: str) -> str | None:
    """A token between spaces without the punctuation behind it; None when that is not one word of letters in a script with spaces."""
    word = token
    while word and unicodedata.category(word[-1])[0] in "PS":
        word = word[:-1]
    letters = word and all(unicodedata.category(character)[0] in "LM" for character in word)
    return word if letters and SPACELESS_SCRIPTS.isdisjoint(unicodedata.name(character, "").split(" ")[0] for character in word) else None
