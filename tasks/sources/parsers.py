"""How a file of an archive becomes documents. One function per format; what `parser:` in params.yaml names is `PARSERS`.

Each takes the file's bytes as a stream (gz already decompressed) and yields RawDocuments. On bytes that are not UTF-8 or not of the format
they raise one of MISFITS; `archive.py` says which file it was.
"""

import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, BinaryIO
from xml.etree import ElementTree

from tasks.sources.raw import RawDocument

# UnicodeDecodeError and JSONDecodeError are ValueErrors; the lookups fail where an entry has another shape than the format's.
MISFITS = (ValueError, ElementTree.ParseError, gzip.BadGzipFile, EOFError, KeyError, TypeError, AttributeError)

MIN_DESCRIPTION_CHARACTERS = 200  # of botocore's 326 k strings, the 59 k that say more than what a field is called; 31 of 51 MB
PASSAGE_CHARACTERS = 2_000  # a passage ends at the first blank line after so many ...
MAX_PASSAGE_CHARACTERS = 4_000  # ... or, in a paragraph without end, at the first line's end after so many


def titled_extracts(stream: BinaryIO) -> Iterator[RawDocument]:
    """JSON dict title -> {title, extract}. A document is the title's line, a blank line, the extract."""
    for entry in json.load(stream).values():
        yield RawDocument(_titled(entry["title"], entry["extract"]))


def gcide(stream: BinaryIO) -> Iterator[RawDocument]:
    """JSON dict headword -> {entry, pos}. A document is the headword's line, a blank line, one line per definition with its part of speech."""
    for entry in json.load(stream).values():
        lines = [
            f"({sense['part_of_speech']}) {definition['text']}" if sense.get("part_of_speech") else definition["text"]
            for sense in entry["pos"]
            for definition in sense["definitions"]
            if definition["text"]
        ]
        yield RawDocument(_titled(entry["entry"], "\n".join(lines)))


def front_matter(stream: BinaryIO) -> Iterator[RawDocument]:
    """A text behind YAML between two lines of `---`; the text alone is the document."""
    text = _decoded(stream)
    if matter := re.match(r"---[ \t]*\r?\n.*?^---[ \t]*(\r?\n|\Z)", text, flags=re.DOTALL | re.MULTILINE):
        text = text[matter.end() :]
    yield RawDocument(text.strip("\r\n"))


def service_descriptions(stream: BinaryIO) -> Iterator[RawDocument]:
    """botocore's description of a service as JSON; every `documentation` that says something is a document. Its HTML stays as it is."""
    for text in _documentation_strings(json.load(stream)):
        if len(text) >= MIN_DESCRIPTION_CHARACTERS:
            yield RawDocument(text)


def plain_text(stream: BinaryIO) -> Iterator[RawDocument]:
    """The whole file is one document."""
    yield RawDocument(_decoded(stream))


def passages(stream: BinaryIO) -> Iterator[RawDocument]:
    """A long book, cut at blank lines into passages of about 2 to 4 kB."""
    lines: list[str] = []
    num_characters = 0
    for line in _lines(stream):
        lines.append(line)
        num_characters += len(line)
        if num_characters >= (MAX_PASSAGE_CHARACTERS if line.strip() else PASSAGE_CHARACTERS):
            yield RawDocument("".join(lines).strip())
            lines, num_characters = [], 0
    if lines:
        yield RawDocument("".join(lines).strip())


def verses(stream: BinaryIO) -> Iterator[RawDocument]:
    """JSON Lines of {book, chapter, text}. A chapter is a document: book and chapter as its title's line, a blank line, a verse per line."""
    rows = (json.loads(line) for line in _lines(stream) if line.strip())
    for (book, chapter), chapter_rows in groupby(rows, key=lambda row: (row["book"], row["chapter"])):
        yield RawDocument(_titled(f"{book} {chapter}", "\n".join(row["text"] for row in chapter_rows)))


def mediawiki_dump(stream: BinaryIO) -> Iterator[RawDocument]:
    """XML export of MediaWiki, streamed. A page is a document: its title's line, a blank line, its wikitext; `date` is its revision's.

    Redirects are left out. The dump may end in the midst of a page (enwik8 is the first 10^8 bytes of one); that page is left out too.
    """
    parser = ElementTree.XMLPullParser(events=("start", "end"))
    root: Any = None
    while chunk := stream.read(1 << 16):
        parser.feed(chunk)
        events: Any = parser.read_events()
        for event, element in events:
            if root is None:
                root = element
            if event == "end" and element.tag.endswith("}page"):
                page = _page(element)
                root.clear()  # else the tree of all pages would stay in memory
                if page:
                    yield page


def _page(element: ElementTree.Element) -> RawDocument | None:
    """The document of a <page>, or None for a redirect."""
    title = element.findtext("{*}title") or ""
    wikitext = element.findtext("{*}revision/{*}text") or ""
    if element.find("{*}redirect") is not None or wikitext.lstrip()[:9].upper() == "#REDIRECT":
        return None
    return RawDocument(_titled(title, wikitext), date=element.findtext("{*}revision/{*}timestamp"))


def _documentation_strings(value: Any) -> Iterator[str]:
    """All strings under a key `documentation`, in the file's order."""
    children: Iterable[Any] = value if isinstance(value, list) else ()
    if isinstance(value, dict):
        if isinstance(value.get("documentation"), str):
            yield value["documentation"]
        children = value.values()
    for child in children:
        yield from _documentation_strings(child)


def _titled(title: str, body: str) -> str:
    """Title, blank line, body; empty when there is no body, so that a bare title is dropped as empty."""
    return f"{title}\n\n{body}" if body.strip() else ""


def _decoded(stream: BinaryIO) -> str:
    return stream.read().decode("utf-8-sig")


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Decoded whole, so that the offset in a UnicodeDecodeError is the file's; line ends become one character."""
    return iter(io.StringIO(_decoded(stream), newline=None))


PARSERS: dict[str, Callable[[BinaryIO], Iterator[RawDocument]]] = {
    "titled-extracts": titled_extracts,
    "gcide": gcide,
    "front-matter": front_matter,
    "service-descriptions": service_descriptions,
    "text": plain_text,
    "passages": passages,
    "verses": verses,
    "mediawiki-dump": mediawiki_dump,
}
