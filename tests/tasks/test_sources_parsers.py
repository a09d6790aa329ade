import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks.sources.config import Source
from tasks.sources.parsers import MAX_PASSAGE_CHARACTERS, PARSERS


def parsed(parser: str, content: bytes | str | object) -> list[str | None]:
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    return [document.text for document in PARSERS[parser](io.BytesIO(content.encode() if isinstance(content, str) else content))]


def test_titled_extracts_begin_with_their_title_and_a_title_alone_is_empty():
    entries = {"Bee": {"title": "Bee", "extract": "Bees fly.\nÀ la ruche."}, "Cow": {"title": "Cow", "extract": " "}}
    assert parsed("titled-extracts", entries) == ["Bee\n\nBees fly.\nÀ la ruche.", ""]


def test_gcide_gives_a_line_per_definition_with_its_part_of_speech():
    noun = {"part_of_speech": "n.", "definitions": [{"text": "An insect.", "examples": ["A bee."]}, {"text": "A contest.", "examples": []}]}
    unknown = {"part_of_speech": None, "definitions": [{"text": "A ring.", "examples": []}]}
    assert parsed("gcide", {"bee": {"entry": "bee", "pos": [noun, unknown]}}) == ["bee\n\n(n.) An insect.\n(n.) A contest.\nA ring."]
    assert parsed("gcide", {"bee": {"entry": "bee", "pos": []}}) == [""]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("---\nkey: mit\nnotes: |\n    a --- b\n---\n\nPermission is\n---\ngranted\n", "Permission is\n---\ngranted"),
        ("---\r\nkey: mit\r\n---\r\nPermission", "Permission"),
        ("---\nkey: mit\n---", ""),
        ("no matter --- at all", "no matter --- at all"),
    ],
)
def test_front_matter_is_stripped_once(content, text):
    assert parsed("front-matter", content) == [text]


def test_service_descriptions_keep_html_and_leave_out_what_says_little():
    long = "<p>" + "An ARN. " * 30 + "</p>"
    description = {"documentation": long, "shapes": {"documentation": {"documentation": "<p>short</p>"}, "A": [{"documentation": long + "2"}]}}
    assert parsed("service-descriptions", description) == [long, long + "2"]


def test_text_is_the_whole_file_without_its_byte_order_mark():
    assert parsed("text", b"\xef\xbb\xbfa\n\n b\r\n") == ["a\n\n b\r\n"]


def test_verses_are_joined_by_chapter():
    rows = [
        {"book": book, "chapter": chapter, "text": text}
        for book, chapter, text in [("Gen", 1, "a"), ("Gen", 1, "b"), ("Gen", 2, "c"), ("Ex", 2, "d")]
    ]
    assert parsed("verses", "\n".join(map(json.dumps, rows)) + "\n\n") == ["Gen 1\n\na\nb", "Gen 2\n\nc", "Ex 2\n\nd"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), max_size=300))
def test_passages_lose_no_word_and_keep_to_their_size(paragraphs):
    """A book of paragraphs of lines of 60 characters; most cut at blank lines, endless paragraphs at a line's end."""
    book = "".join("\n" * blank_lines + ("word " * 12 + "\n") * (lines // 2) for blank_lines, lines in paragraphs)
    passages = parsed("passages", book)
    assert " ".join(text or "" for text in passages).split() == book.split()
    assert all(len(text or "") <= MAX_PASSAGE_CHARACTERS + 60 for text in passages)


def test_passages_end_at_blank_lines():
    stanza = "And so it goes.\n" * 40
    assert parsed("passages", f"{stanza}\n" * 9) == [f"{stanza}\n{stanza}\n{stanza}\n{stanza}".strip()] * 2 + [stanza.strip()]


def page(title: str, text: str, more: str = "") -> str:
    return f"<page><title>{title}</title>{more}<revision><id>1</id><timestamp>2006-03-03T22:00:50Z</timestamp><text>{text}</text></revision></page>\n"


def test_mediawiki_pages_are_unescaped_once_and_redirects_and_the_cut_page_left_out():
    dump = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.3/"><siteinfo><base>b</base></siteinfo>'
    dump += page("A&amp;B", "'''A'''&amp;nbsp;&lt;br&gt; [[é]]") + page("AaA", "#redirect [[A]]") + page("C", "c", "<redirect />") + page("Empty", "")
    dump += page("D" * 70_000, "d") + page("Cut", "é")
    content = dump.encode()[: dump.encode().index(b"\xc3\xa9</text>") + 1]  # in the midst of a character
    documents = list(PARSERS["mediawiki-dump"](io.BytesIO(content)))
    assert [document.text for document in documents] == ["A&B\n\n'''A'''&nbsp;<br> [[é]]", "", "D" * 70_000 + "\n\nd"]
    assert documents[0].date == "2006-03-03T22:00:50Z"


def test_an_unknown_parser_is_refused_when_the_study_is_loaded_with_the_nearest_name():
    source = {"kind": "archive", "domain": "d", "package": "p", "version": "1", "sha256": "0" * 64, "members": ["*"], "parser": "titled-extract"}
    with pytest.raises(
        ValidationError, match=r"no parser is called 'titled-extract' \(did you mean 'titled-extracts'\?\); there are front-matter, gcide"
    ):
        TypeAdapter(Source).validate_python(source)
