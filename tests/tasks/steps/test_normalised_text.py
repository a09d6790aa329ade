import hashlib
import re
import sys
import time
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.steps.normalised_text import _MAY_CHANGE, digests, normalised


def normalised_one(text: str) -> str:
    return normalised(pa.chunked_array([[text]], pa.string()))[0]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=60)))
def test_it_is_nfc_then_lower_case_then_single_spaces(texts):
    expected = [" ".join(unicodedata.normalize("NFC", text).lower().split()) for text in texts]
    # characters that Python's tables don't know yet are left out: Polars' may be newer
    known = [row for row, text in enumerate(texts) if all(unicodedata.category(character) != "Cn" for character in text)]
    found = normalised(pa.chunked_array([texts], pa.string()))
    assert [found[row] for row in known] == [expected[row] for row in known]


def test_characters_that_are_taken_as_nfc_are():
    """None changes alone, none composes with the one before it."""
    safe = {chr(code) for code in range(sys.maxunicode + 1) if not re.search(_MAY_CHANGE, chr(code))}
    assert len(safe) > 900
    for character in safe:
        assert unicodedata.normalize("NFC", character) == character
        assert not unicodedata.combining(character)
    for code in range(sys.maxunicode + 1):
        decomposition = unicodedata.decomposition(chr(code))
        if decomposition and not decomposition.startswith("<") and " " in decomposition:
            assert chr(int(decomposition.split()[1], 16)) not in safe


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A  b\n\tc ", "a b c"),
        ("E\u0301te\u0301", "\u00e9t\u00e9"),
        ("\u212bngstro\u0308m", "\u00e5ngstr\u00f6m"),
        ("a\u00a0b\u3000c\u2028d", "a b c d"),
        (" \n ", ""),
        ("\u0130", "i\u0307"),
    ],
)
def test_what_is_the_same(text, same):
    assert normalised_one(text) == same


def test_a_long_run_of_combining_characters_takes_linear_time():
    began = time.process_time()
    normalised_one("a" + "\u0301" * 300_000 + "\u0316" * 300_000)
    assert time.process_time() - began < 5  # unicodedata: an hour


def test_digests_are_of_the_text_alone():
    found = digests(["", "a", "a b", "a"])
    assert found.tolist()[1] == found.tolist()[3] == hashlib.blake2b(b"a", digest_size=16).digest()
    assert len(set(found.tolist())) == 3
    assert digests([]).shape == (0,)
