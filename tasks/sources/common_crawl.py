"""WET and WARC files under an S3 prefix, as Common Crawl publishes them.

WET is text already. WARC's HTML becomes text with resiliparse's main-content extraction, as in DCLM (arXiv:2406.11794, section 4.2).
"""

import re
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from models.frozen import StudyError
from tasks import storage
from tasks.sources.config import CommonCrawlSource
from tasks.sources.raw import RawDocument
from tasks.sources.sampling import Shard, take_shares

WET_FILE = re.compile(r"\.wet(\.gz)?$")
WARC_FILE = re.compile(r"(?<!\.wat)\.warc(\.gz)?$")
HTML_TYPES = ("text/html", "application/xhtml+xml")


def read(source: CommonCrawlSource) -> Iterator[tuple[str, RawDocument]]:
    """(key after the url, page) of all WET or all WARC files under the prefix; with `max_bytes`, shares of them (`sampling.take_shares`).

    Raises:
        StudyError: what `storage` can't list or read, no such file, both kinds (the same pages twice), a damaged file.
    """
    found = storage.list_objects(source.url)
    wet, warc = ([item for item in found if kind.search(item.key)] for kind in (WET_FILE, WARC_FILE))
    if wet and warc:
        raise StudyError(
            f"{source.url} holds WET and WARC files, the same pages twice: name the folder of one, such as '{wet[0].url.rpartition('/')[0]}/'."
        )
    if not (wet or warc):
        raise StudyError(f"There is no .wet.gz and no .warc.gz file under {source.url}.")

    def opener(item: storage.StoredObject) -> Callable[[], Iterator[RawDocument]]:
        return lambda: _pages(item)

    return take_shares([Shard(item.name_under(source.url), item.num_bytes, opener(item)) for item in wet or warc], source)


def _pages(item: storage.StoredObject) -> Iterator[RawDocument]:
    """The pages of one file. Memory: one page."""
    with storage.open_object(item) as stream:
        records = ArchiveIterator(stream)
        try:
            for record in records:
                text = _text(record)
                url, date = (record.rec_headers.get_header(name) for name in ("WARC-Target-URI", "WARC-Date"))
                records.read_to_end()
                if record.raw_stream.limit:  # warcio takes the end of the file for the end of the record
                    raise StudyError(f"{item.url} is cut in the midst of the record of {url}: fetch or write it again.")
                if text is not None:
                    yield RawDocument(text, url=url, date=date)
        except ArchiveLoadFailed as error:
            raise StudyError(f"{item.url} is damaged ({' '.join(str(error).split())}): fetch or write it again.") from error


def _text(record: Any) -> str | None:
    """The text of a WET record or of an HTML page that was found; None for all other records.

    As in browsers, bytes that are not of the page's encoding become U+FFFD: nobody can mend the web.
    """
    if record.rec_type == "conversion":
        return record.content_stream().read().decode("utf-8", errors="replace")
    if record.rec_type != "response" or record.http_headers is None or record.http_headers.get_statuscode() != "200":
        return None
    header = Message()
    header["content-type"] = record.http_headers.get_header("Content-Type", "")
    if header.get_content_type() not in HTML_TYPES:
        return None
    body = record.content_stream().read()
    encoding = map_encoding_to_html5(header.get_content_charset() or "", fallback_utf8=False) or detect_encoding(body, from_html_meta=True)
    return extract_plain_text(bytes_to_str(body, encoding or "utf-8", errors="replace"), main_content=True, alt_texts=False)
