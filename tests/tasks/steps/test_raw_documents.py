"""Steps on documents as they come: encoding, HTML, boilerplate, personal data, and where a document is from."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from models.frozen import StudyError
from tasks.steps.boilerplate import BoilerplateLines
from tasks.steps.dates import DateSlice
from tasks.steps.hosts import host_of
from tasks.steps.html import HtmlToText
from tasks.steps.licenses import LicenseAllowList
from tasks.steps.mojibake import Mojibake
from tasks.steps.pii import MaskPii
from tasks.steps.url_list import UrlBlockList
from tests.tasks.steps.some_documents import apply, documents, reasons


def with_column(name: str, values: list[str | None]) -> pa.Table:
    table = documents([f"text {i}" for i in range(len(values))])
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values, pa.string()))


def kept(step, table: pa.Table) -> list[int]:
    return [int(id[-5:]) for id in apply(step, table).kept["id"].to_pylist()]


def test_mojibake_is_mended_and_what_it_was_is_kept():
    found = apply(Mojibake(step="mojibake"), documents(["schÃ¶n &amp; grÃ¼n\nnaïve “plain”", "ﬁne naïve text", "plain"])).kept
    assert found["text"].to_pylist() == ["schön &amp; grün\nnaïve “plain”", "ﬁne naïve text", "plain"]
    assert found["original_text"].to_pylist() == ["schÃ¶n &amp; grÃ¼n\nnaïve “plain”", None, None]


def test_the_original_is_what_came_before_the_first_step():
    first = apply(Mojibake(step="mojibake"), documents(["schÃ¶n: a@b.example", "to a@b.example"])).kept
    second = apply(MaskPii(step="mask-pii"), first).kept
    assert second["original_text"].to_pylist() == ["schÃ¶n: a@b.example", "to a@b.example"]
    assert second["text"].to_pylist() == ["schön: |||EMAIL_ADDRESS|||", "to |||EMAIL_ADDRESS|||"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ask jane.o'doe+x@mail.example.co.uk, or <b@c.org>.", "Ask E, or <E>."),
        ("a @home and me@localhost", None),
        ("(212) 555-0123, 212-555-0123, 212.555.0123 and +49 (30) 123-4567", "P, P, P and P"),
        ("12345678901234 and 2020-05-03 and 3.14159", None),
        ("from 8.8.8.8 and 2001:4860:4860::8888 at 12:34:56", "from I and I at 12:34:56"),
        ("192.168.0.1, 127.0.0.1, ::1, 999.1.1.1 and std::vector", None),
    ],
)
def test_personal_data_is_masked(text, masked):
    step = MaskPii(step="mask-pii", email="E", phone="P", ip="I")
    assert apply(step, documents([text])).kept["text"].to_pylist() == [masked or text]
    assert apply(MaskPii(step="mask-pii", email=None, phone=None, ip=None), documents([text])).kept["text"].to_pylist() == [text]


def test_boilerplate_lines_go():
    text = "The first line of the page is a sentence.\n\nIt has another one, of Ada and NASA, which is longer than ten words by far."
    page = (
        f"HOME OF THE BRAVE\n{text}\n1.2k likes\n12.05.2020, 14:00\nHome\nPlease sign in\nSign in to comment\nGo on: Read more...\nThe end is near."
    )
    expected = f"{text}\nPlease sign in\nThe end is near."
    step = BoilerplateLines(step="boilerplate-lines", max_removed_words=None)
    assert apply(step, documents([page])).kept["text"].to_pylist() == [expected]
    (removed,) = apply(BoilerplateLines(step="boilerplate-lines"), documents([page])).removed.to_pylist()
    assert (removed["reason"], removed["text"], removed["threshold"]) == ("boilerplate", page, 0.05)
    assert removed["value"] == pytest.approx(1 - len(expected.split()) / len(page.split()))
    assert reasons(apply(step, documents(["Home\nAbout"]))) == ["empty"]


def test_only_pages_are_taken_for_html():
    body = "<body><nav><a href='/'>Home</a></nav><main><p>One &amp; <b>two</b></p><p>Three</p></main></body>"
    texts = [f"<!DOCTYPE html>\n<html>{body}</html>", body, "An <html> tag is <b>no</b> page.", "<header>"]
    found = apply(HtmlToText(step="html-to-text"), documents(texts)).kept["text"].to_pylist()
    assert [text.split() for text in found[:2]] == [["One", "&", "two", "Three"]] * 2
    assert found[2:] == texts[2:]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:pw@Sub.Example.COM.:8080/a?b#c", "sub.example.com"),
        ("//example.com", "example.com"),
        ("example.com/path", "example.com"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("mailto", ""),
        ("", ""),
    ],
)
def test_host_of(url, host):
    assert host_of(url) == host


def test_urls_on_a_list_go(tmp_path: Path):
    path = tmp_path / "hosts.txt"
    path.write_text("# adult\nBad.example # and its subdomains\n\n")
    file = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    step = UrlBlockList.model_validate(
        {"step": "url-block-list", "host_files": [file], "hosts": ["worse.org"], "words": ["casino"], "soft_words": ["free", "win"]}
    )
    urls = [
        "https://www.bad.example/x",
        "https://notbad.example",
        None,
        "http://worse.org",
        "https://a.org/CASINO-1",
        "https://a.org/free",
        "b.org/free/win",
    ]
    assert reasons(apply(step, with_column("url", urls))) == ["host on the list"] * 2 + ["word on the list", "soft words on the list"]
    path.write_text("other.example\n")
    with pytest.raises(StudyError, match=r"hosts.txt' is not pinned, the sha256 is not 0000"):
        apply(UrlBlockList.model_validate({"step": "url-block-list", "host_files": [file | {"sha256": "0" * 64}]}), with_column("url", urls))
    with pytest.raises(StudyError, match=r"url-block-list.host_files: there is nothing at 'nowhere.txt'"):
        apply(UrlBlockList.model_validate({"step": "url-block-list", "host_files": [file | {"path": "nowhere.txt"}]}), with_column("url", urls))


def test_licences_not_on_the_list_go():
    table = with_column("license", ["cc-by-4.0", "CC-BY-NC-4.0", "MIT", None, "MIT2"])
    assert kept(LicenseAllowList(step="license-allow-list", allow=("CC-BY-4*", "mit")), table) == [0, 2]
    assert kept(LicenseAllowList(step="license-allow-list", allow=("mit",), allow_unknown=True), table) == [2, 3]
    assert reasons(apply(LicenseAllowList(step="license-allow-list", allow=("mit",)), table))[1:3] == ["license CC-BY-NC-4.0", "license unknown"]


def test_dates_outside_the_span_go():
    table = with_column("date", ["2019-02-01", "2019", "2019-02", "20190630T23:59:59Z", "2019-07-01", "2019-13-01", "19", None])
    step = DateSlice.model_validate({"step": "date-slice", "first": "2019-02-01", "last": "2019-06-30"})
    assert reasons(apply(step, table)) == ["too early", "too late", *["date unknown"] * 3]
    assert kept(DateSlice.model_validate({"step": "date-slice", "last": "2019-12-31", "keep_unknown": True}), table) == list(range(8))
    with pytest.raises(ValueError, match="behind last"):
        DateSlice.model_validate({"step": "date-slice", "first": "2020-01-01", "last": "2019-01-01"})
