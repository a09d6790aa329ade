import gzip
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.documents import DOCUMENT_SCHEMA, read_shards
from tasks.ingest import IngestSummary, ingest
from tests.tasks.source_study import cached_archive, web_archive, write_study

MB = 1_000_000


def rows_of(name: str) -> list[dict]:
    return [row for table in read_shards(layout.SOURCES / name) for row in table.to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_lines(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_documents_get_ids_and_the_sources_defaults_and_empty_ones_are_counted(study_folder, capsys):
    files = {"t/a.txt": "Été".encode(), "t/b.txt": b" \n", "t/c.txt.gz": gzip.compress(b"c")}
    archive = cached_archive(study_folder, files, domain="prose", license="MIT", lang="fr")
    write_lines(study_folder / "mine" / "x.jsonl", {"text": "one", "lang": "de"}, {"text": "\t"}, {"text": None}, {"text": "two", "topic": "News"})
    write_lines(study_folder / "mine" / "y.jsonl", {"text": "three", "topic": "Law"})
    study = write_study(study_folder, {"books": archive}, {"mine": {"path": "mine", "domain": "rest", "lang": "en"}})

    assert ingest(study, "books") == IngestSummary(
        source="books", documents=2, text_bytes=6, empty_documents=1, overlong_documents=0, unsampled_documents=0
    )
    assert capsys.readouterr().out == "books: 2 documents, 6 bytes of text; left out: 1 empty, 0 over-long, 0 beyond max_bytes\n"
    defaults = {"source": "books", "domain": "prose", "url": None, "date": None, "license": "MIT", "lang": "fr"}
    assert rows_of("books") == [{"id": "books/t/a.txt#0", "text": "Été"} | defaults, {"id": "books/t/c.txt.gz#0", "text": "c"} | defaults]

    assert ingest(study, "mine").empty_documents == 2
    assert [(row["id"], row["lang"]) for row in rows_of("mine")] == [("mine/x.jsonl#0", "de"), ("mine/x.jsonl#3", "en"), ("mine/y.jsonl#0", "en")]
    assert next(iter(read_shards(layout.SOURCES / "mine"))).schema.equals(DOCUMENT_SCHEMA)


@pytest.mark.slow
def test_the_command_gives_the_same_bytes_as_the_function(study_folder, run_stage, monkeypatch):
    texts = {f"{n}.txt": random.Random(n).randbytes(300).hex().encode() for n in range(200)}
    study = write_study(study_folder, {"books": cached_archive(study_folder, texts, max_bytes=50_000)})
    ingest(study, "books")
    before = contents(layout.SOURCES)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    finished = run_stage(study_folder, "ingest", "books")
    assert finished.returncode == 0 and finished.stdout.startswith("books: 83 documents, 49,800 bytes"), finished.stderr
    assert contents(layout.SOURCES) == before and before.keys() == {"books/part-00000.parquet"}


def test_max_bytes_samples_all_files_and_keeps_ids(study_folder):
    for file in "abc":
        write_lines(study_folder / "mine" / f"{file}.jsonl", *({"text": f"{file}{n} " * 20} for n in range(300)))
    local = {"path": "mine", "domain": "d"}
    whole = {row["id"]: row["text"] for row in (ingest(write_study(study_folder, None, {"mine": local}), "mine"), rows_of("mine"))[1]}
    summary = ingest(write_study(study_folder, None, {"mine": local | {"max_bytes": 20_000}}), "mine")
    sample = {row["id"]: row["text"] for row in rows_of("mine")}
    assert 19_000 <= summary.text_bytes == sum(len(text) for text in sample.values()) <= 20_000
    assert summary.documents + summary.unsampled_documents == len(whole) == 900
    assert sample.items() < whole.items()
    by_file = [sum(id.startswith(f"mine/{file}.jsonl") for id in sample) for file in "abc"]
    assert min(by_file) > len(sample) / 5


def test_a_source_larger_than_a_shard_is_cut_into_shards(study_folder, monkeypatch):
    monkeypatch.setattr("tasks.documents.write_shards.__defaults__", (100_000,))
    monkeypatch.setattr("tasks.ingest.BATCH_CHARACTERS", 30_000)
    write_lines(study_folder / "mine.jsonl", *({"text": f"{n} " * 100} for n in range(1000)))
    ingest(write_study(study_folder, None, {"mine": {"path": "mine.jsonl", "domain": "d"}}), "mine")
    assert len(list((layout.SOURCES / "mine").iterdir())) == 4
    assert [row["id"] for row in rows_of("mine")] == [f"mine/mine.jsonl#{n}" for n in range(1000)]


def test_all_kinds_of_source_go_the_same_way(study_folder, store):
    rows = [{"text": f"text {n}"} for n in range(3)]
    write_lines(study_folder / "dataset" / "a.jsonl", *rows)
    store.put("s3://pool/texts/a.jsonl", (study_folder / "dataset" / "a.jsonl").read_bytes())
    store.put("s3://pool/crawl/a.warc.wet.gz", web_archive(*(("conversion", f"http://{n}", row["text"].encode(), {}) for n, row in enumerate(rows))))
    sources = {
        "hub": {"kind": "huggingface", "path": str(study_folder / "dataset"), "domain": "d", "max_bytes": 15},
        "files": {"kind": "s3-files", "url": "s3://pool/texts/", "domain": "d", "max_bytes": 15},
        "crawl": {"kind": "common-crawl", "url": "s3://pool/crawl/", "domain": "d", "max_bytes": 15},
    }
    study = write_study(study_folder, sources)
    for name, file in {"hub": "train-00000", "files": "a.jsonl", "crawl": "a.warc.wet.gz"}.items():
        assert ingest(study, name).text_bytes == 12
        assert [(row["id"], row["text"]) for row in rows_of(name)] == [(f"{name}/{file}#{n}", f"text {n}") for n in range(2)]
    assert [(row["url"], row["date"]) for row in rows_of("crawl")] == [(f"http://{n}", "2024-05-01T00:00:00Z") for n in range(2)]


def test_over_long_documents_are_refused_or_dropped_as_the_study_says(study_folder):
    archive = cached_archive(study_folder, {"a.txt": b"short", "b.txt": b"a" * 200}, max_document_bytes=199)
    with pytest.raises(StudyError, match=r"s/b.txt#0 has 200 bytes of text, more than max_document_bytes = 199: raise it .* or set drop_overlong"):
        ingest(write_study(study_folder, {"s": archive}), "s")
    summary = ingest(write_study(study_folder, {"s": archive | {"drop_overlong": True}}), "s")
    assert (summary.documents, summary.overlong_documents) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "rows", "sentence"),
    [
        ({}, [{"text": "ok"}, {"text": "a\ud800b"}], r"s/a.jsonl#1 is not valid Unicode: half a surrogate pair, U\+D800, is character 1 of its text"),
        ({}, [{"text": " "}, {"text": None}], r"Source 's' gives no documents \(s: 0 documents, .* 2 empty, .*\): check what it names"),
        ({}, [], r"Source 's' gives no documents"),
        ({"max_bytes": 3}, [{"text": "four"}], r"Source 's' gives no documents \(.* 1 beyond max_bytes\): check what it names, and its max_bytes"),
        ({"path": "nowhere"}, [], "There is no file or folder 'nowhere'"),
    ],
    ids=["surrogate", "all empty", "empty file", "max_bytes too small", "no path"],
)
def test_a_wrong_source_is_refused_and_the_last_good_output_stays(study_folder, fields, rows, sentence):
    source = {"path": "a.jsonl", "domain": "d"}
    write_lines(study_folder / "a.jsonl", {"text": "good"})
    ingest(write_study(study_folder, None, {"s": source}), "s")
    before = contents(layout.SOURCES)

    write_lines(study_folder / "a.jsonl", *rows)
    with pytest.raises(StudyError, match=sentence):
        ingest(write_study(study_folder, None, {"s": source | fields}), "s")
    assert contents(layout.SOURCES) == before


def test_an_unknown_source_is_refused_with_the_nearest_name(default_study):
    with pytest.raises(StudyError, match=r"There is no source 'frensh' \(did you mean 'french'\?\): the study has api, "):
        ingest(default_study, "frensh")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b'{"text": "caf\xe9"}\n', "a.jsonl, line 1 is not valid UTF-8: byte 0xe9 at offset 13"),
        ("a.jsonl", b'{"text": "' + b"a" * (50 * MB) + b'"}\n', "a.jsonl, line 1 is longer than max_document_bytes = 10,000,000"),
        ("a.parquet", pa.table({"body": ["a"]}), "a.parquet has no column 'text', only body"),
    ],
    ids=["not UTF-8", "50 MB line", "no text column"],
)
def test_the_command_ends_in_one_sentence_and_the_last_good_output_stays(study_folder, run_stage, name, content, sentence):
    write_lines(study_folder / "in" / "good.jsonl", {"text": "good"})
    ingest(write_study(study_folder, None, {"s": {"path": "in", "domain": "d"}}), "s")
    before = contents(layout.SOURCES)

    if isinstance(content, bytes):
        (study_folder / "in" / name).write_bytes(content)
    else:
        pq.write_table(content, study_folder / "in" / name)
    finished = run_stage(study_folder, "ingest", "s")
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"assay: in/{sentence}") and finished.stderr.count("\n") == 1, finished.stderr
    assert contents(layout.SOURCES) == before


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a full disk needs the right to mount one: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_last_good_output_stays(small_disk, study_folder, run_stage, monkeypatch):
    monkeypatch.chdir(small_disk)
    write_lines(study_folder / "in.jsonl", {"text": "good"})
    ingest(write_study(small_disk, None, {"s": {"path": str(study_folder / "in.jsonl"), "domain": "d"}}), "s")
    before = contents(small_disk)

    write_lines(study_folder / "in.jsonl", *({"text": random.Random(n).randbytes(20_000).hex()} for n in range(100)))  # 2 MB when compressed
    finished = run_stage(small_disk, "ingest", "s")
    assert finished.returncode == 2
    assert finished.stderr.startswith("assay: The disk is full") and finished.stderr.count("\n") == 1, finished.stderr
    assert contents(small_disk) == before
