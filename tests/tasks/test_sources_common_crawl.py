import gzip
import os
from typing import Any

import pytest

from models.frozen import StudyError
from tasks import storage
from tasks.sources import common_crawl
from tasks.sources.config import CommonCrawlSource
from tests.tasks.source_study import web_archive

URL = "s3://pool/crawl/"
ARTICLE = (
    "<html><head><title>T</title></head><body><nav>Home | About</nav><h1>Bees</h1><p>Café bees fly &amp; hum.</p><script>x()</script></body></html>"
)


def html(charset: str = "text/html; charset=latin-1", status: str = "200 OK") -> dict[str, Any]:
    return {"status": status, "type": charset}


def read() -> list[tuple[str, str | None, str | None]]:
    source = CommonCrawlSource.model_validate({"kind": "common-crawl", "url": URL, "domain": "web"})
    return [(file, document.url, document.text) for file, document in common_crawl.read(source)]


def test_wet_records_are_documents(store):
    info = ("warcinfo", "", b"software: x", {})
    store.put(URL + "s/a.warc.wet.gz", web_archive(info, ("conversion", "http://a", "Été".encode(), {}), ("conversion", "http://b", b"caf\xe9", {})))
    store.put(URL + "s/b.warc.wet.gz", web_archive(("conversion", "http://c", b"C", {})))
    store.put(URL + "s/b.warc.wat.gz", b"not read")
    assert read() == [("s/a.warc.wet.gz", "http://a", "Été"), ("s/a.warc.wet.gz", "http://b", "caf\ufffd"), ("s/b.warc.wet.gz", "http://c", "C")]


def test_html_of_warc_becomes_text_and_other_records_are_left_out(store):
    latin = ARTICLE.encode("latin-1")
    utf8 = ARTICLE.replace("<head>", '<head><meta charset="utf-8">').encode()
    records = [
        ("request", "http://a", b"", {"status": "GET / HTTP/1.1", "type": "x"}),
        ("response", "http://latin", latin, html()),
        ("response", "http://utf8", utf8, html("text/html")),
        ("response", "http://odd", utf8, html("text/html; charset=no-such-charset")),
        ("response", "http://gone", latin, html(status="404 Not Found")),
        ("response", "http://image", b"\x89PNG", html("image/png")),
    ]
    store.put(URL + "a.warc.gz", web_archive(*records))
    text = "Bees\n\nCafé bees fly & hum."
    assert read() == [("a.warc.gz", f"http://{name}", text) for name in ("latin", "utf8", "odd")]


def test_a_cut_file_is_refused_not_read_as_far_as_it_goes(store):
    noise = os.urandom(500).hex().encode()
    whole = web_archive(("conversion", "http://a", noise, {}), ("conversion", "http://b", noise, {}))
    for name, content in {"a.warc.wet": gzip.decompress(whole), "a.warc.wet.gz": whole}.items():
        store.empty()
        storage.ensure_bucket(URL)
        store.put(URL + name, content[:-300])
        with pytest.raises(StudyError, match=rf"s3://pool/crawl/{name} is cut in the midst of the record of http://b: fetch or write it again"):
            read()
    store.empty()
    storage.ensure_bucket(URL)
    store.put(URL + "a.warc.wet", b"no archive at all\n" * 100)
    with pytest.raises(StudyError, match=r"s3://pool/crawl/a.warc.wet is damaged \(.+\)"):
        read()


def test_a_prefix_without_crawl_files_or_with_both_kinds_is_refused(store):
    with pytest.raises(StudyError, match=r"There is no .wet.gz and no .warc.gz file under s3://pool/crawl/"):
        read()
    store.put(URL + "warc/a.warc.gz", b"")
    store.put(URL + "wet/a.warc.wet.gz", b"")
    with pytest.raises(StudyError, match=r"holds WET and WARC files, the same pages twice: name the folder of one, such as 's3://pool/crawl/wet/'"):
        read()
