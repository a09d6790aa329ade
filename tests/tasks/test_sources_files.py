import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from models.frozen import StudyError
from tasks.sources import files
from tasks.sources.config import LocalSource, S3FilesSource
from tasks.sources.raw import RawDocument

MB = 1_000_000


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def local(path: Path, **fields) -> list[tuple[str, RawDocument]]:
    return list(files.read_local(LocalSource.model_validate({"path": str(path), "domain": "d"} | fields)))


def texts(path: Path, **fields) -> list[tuple[str, str | None]]:
    return [(file, document.text) for file, document in local(path, **fields)]


def test_all_table_files_of_a_folder_are_read_by_name(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "a1"}) + b"\n" + lines({"text": None}, {"text": "a3"})[:-1])  # blank line, no last line end
    (tmp_path / "b" / "c.jsonl.gz").write_bytes(gzip.compress(lines({"text": "c1"})) + gzip.compress(lines({"text": "c2"})))
    (tmp_path / "b" / "d.json.zst").write_bytes(zstandard.compress(lines({"text": "d1"})) + zstandard.compress(lines({"text": "d2"})))
    pq.write_table(pa.table({"text": ["e1", None, "e3"]}), tmp_path / "e.parquet")
    for ignored in ("notes.txt", "_SUCCESS.json", ".f.jsonl"):
        (tmp_path / ignored).write_text("no table")
    expected = [("a.jsonl", ["a1", None, "a3"]), ("b/c.jsonl.gz", ["c1", "c2"]), ("b/d.json.zst", ["d1", "d2"]), ("e.parquet", ["e1", None, "e3"])]
    assert texts(tmp_path) == [(file, text) for file, found in expected for text in found]
    assert texts(tmp_path / "b" / "c.jsonl.gz") == [("c.jsonl.gz", "c1"), ("c.jsonl.gz", "c2")]


def test_metadata_columns_are_read_where_they_are_there(tmp_path):
    table = {
        "body": ["t", "u"],
        "topic": ["Wikipedia (en)", None],
        "date": [datetime.date(2024, 5, 1), None],
        "url": ["http://a", None],
        "lang": ["fr", None],
        "score": [1, 2],
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    (_, first), (_, second) = local(tmp_path, text_column="body", domain_column="topic")
    assert first == RawDocument("t", url="http://a", date="2024-05-01", lang="fr", domain="wikipedia-en")
    assert second == RawDocument("u")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"text": "a"}\n{"text": "caf\xe9"}\n', r"a.jsonl, line 2 is not valid UTF-8: byte 0xe9 at offset 13; convert"),
        (b'{"text": "a"}\n{"text": "b\n', r"a.jsonl, line 2 is not valid JSON \(Invalid control character at at character 11\): one object per line"),
        (b"[1, 2]\n", "a.jsonl, line 1 holds a JSON list, not an object"),
        (b'{"body": "a", "id": 1}\n', "a.jsonl, line 1 has no column 'text', only body, id: set text_column to the right one"),
        (b'{"text": "a"}\n{"text": 3.5}\n', r"a.jsonl, line 2: column 'text' holds 3.5 \(float\), not text"),
        (b'{"text": ["' + b"a" * 100 + b'"]}\n', r"a.jsonl, line 1: column 'text' holds \['a{35}\.\.\. \(list\), not text"),
        (
            b'{"text": "a"}\n{"text": "' + b"a" * (50 * MB) + b'"}\n',
            "a.jsonl, line 2 is longer than max_document_bytes = 10,000,000: one JSON object per line",
        ),
    ],
    ids=["not UTF-8", "not JSON", "no object", "no text column", "number", "list", "50 MB line"],
)
def test_a_wrong_line_is_named(tmp_path, content, sentence):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(StudyError, match=sentence):
        texts(tmp_path)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pa.table({"body": ["a"]}), "a.parquet has no column 'text', only body: set text_column"),
        (pa.table({"text": [1, 2]}), r"a.parquet, row 0: column 'text' holds 1 \(int\), not text"),
        (pa.table({"text": pa.array([b"a", b"caf\xe9"]).view(pa.string())}), "a.parquet, row 1 is not valid UTF-8: byte 0xe9 at offset 3"),
    ],
    ids=["no text column", "numbers", "not UTF-8"],
)
def test_a_wrong_parquet_file_is_named(tmp_path, table, sentence):
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(StudyError, match=sentence):
        texts(tmp_path)


def test_damaged_files_are_named(tmp_path):
    rows = lines(*({"text": f"{number:x}" * 50} for number in range(1000)))
    pq.write_table(pa.table({"text": ["a" * 100] * 1000}), tmp_path / "whole.parquet")
    parquet = (tmp_path / "whole.parquet").read_bytes()
    damaged = {
        "cut.jsonl.gz": gzip.compress(rows)[:-100],
        "no.jsonl.gz": rows,
        "no.jsonl.zst": rows,
        "cut.parquet": parquet[:-10],
        "page.parquet": parquet[:4] + bytes(60) + parquet[64:],
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudyError, match=rf"{name} is damaged or cut \(.+\): fetch or write it again"):
            texts(tmp_path / name)


def test_a_domain_that_makes_no_name_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "a", "topic": "2024"}))
    with pytest.raises(StudyError, match=r"line 1: column 'topic' holds '2024', of which no domain's name can be made"):
        texts(tmp_path, domain_column="topic")
    with pytest.raises(StudyError, match=r"line 1 has no column 'subject', only text, topic: set domain_column"):
        texts(tmp_path, domain_column="subject")


def test_a_path_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"There is no file or folder '.*nowhere': a local source's path is relative to the study's folder"):
        texts(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(StudyError, match=r"holds no .parquet, .jsonl"):
        texts(tmp_path)


def test_files_under_an_s3_prefix_are_read_like_local_ones(store, tmp_path):
    pq.write_table(pa.table({"text": ["a1", "a2"], "other": [1, 2]}), tmp_path / "a.parquet", row_group_size=1)
    store.put("s3://pool/texts/a.parquet", (tmp_path / "a.parquet").read_bytes())
    store.put("s3://pool/texts/b/c.jsonl.zst", zstandard.compress(lines({"text": "c1"})))
    store.put("s3://pool/texts/notes.txt", b"no table")
    source = S3FilesSource.model_validate({"kind": "s3-files", "url": "s3://pool/texts/", "domain": "d"})
    assert [(file, document.text) for file, document in files.read_s3(source)] == [("a.parquet", "a1"), ("a.parquet", "a2"), ("b/c.jsonl.zst", "c1")]

    store.put("s3://pool/texts/b/d.jsonl", b'{"text": "caf\xe9"}')
    with pytest.raises(StudyError, match=r"s3://pool/texts/b/d.jsonl, line 1 is not valid UTF-8: byte 0xe9 at offset 13"):
        list(files.read_s3(source))
    with pytest.raises(StudyError, match=r"There is no .parquet, .jsonl.* file under s3://pool/none"):
        files.read_s3(source.model_copy(update={"url": "s3://pool/none"}))
