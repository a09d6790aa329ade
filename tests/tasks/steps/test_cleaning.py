import unicodedata

import pytest

from tasks.steps.cleaning import Normalize
from tests.tasks.steps.some_documents import HOSTILE_PATTERNS, apply, assert_linear, documents, on_any_texts, reasons

STEP = Normalize(step="normalize")


def normalized(text: str, step: Normalize = STEP) -> str:
    (result,) = apply(step, documents([text])).kept["text"].to_pylist()
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301te\u0301", "été"),
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne"),
        ("\ufeffa\x00b\x07c\x7f", "abc"),
        ("a  \n\tb \t\u00a0\nc ", "a\n\tb\nc"),
        ("\n\na\n\n\n\n\n\nb\n", "a\n\n\nb"),
        ("def f():\n    x = 1\n\n\ndef g():\n\tpass", "def f():\n    x = 1\n\n\ndef g():\n\tpass"),
        ("    indented first line", "    indented first line"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
    ],
)
def test_what_changes_and_what_stays(text, expected):
    assert normalized(text) == expected


def test_the_number_of_empty_lines_is_chosen():
    assert normalized("a\n\n\n\nb", Normalize(step="normalize", max_empty_lines=0)) == "a\nb"


def test_a_document_of_which_nothing_is_left_is_dropped():
    assert reasons(apply(STEP, documents(["", " \n\t\u3000\r\n", "\x00", "a"]))) == ["empty"] * 3


@on_any_texts
def test_any_text(texts):
    once = apply(STEP, documents(texts)).kept
    for text in once["text"].to_pylist():
        assert unicodedata.is_normalized("NFC", text)
        assert not any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text)
    assert apply(STEP, once).kept == once


@on_any_texts
def test_no_visible_character_is_lost(texts):
    def visible(text: str) -> str:
        composed = unicodedata.normalize("NFC", text.replace("\ufeff", ""))
        return "".join(c for c in composed if not c.isspace() and unicodedata.category(c) != "Cc")

    kept = apply(STEP, documents(texts)).kept
    before = {row["id"]: row["text"] for row in documents(texts).to_pylist()}
    for row in kept.to_pylist():
        assert sorted(visible(row["text"])) == sorted(visible(before[row["id"]]))


@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_hostile_text_takes_linear_time(pattern):
    assert_linear(STEP, pattern)
