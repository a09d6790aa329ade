import gzip
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.sources import archive, package_index
from tasks.sources.archive_members import read_member
from tasks.sources.config import ArchiveSource
from tasks.sources.package_index import fetch_archive
from tests.tasks.local_package_index import LocalPackageIndex
from tests.tasks.source_study import cached_archive

POEM = os.urandom(40_000).hex().encode()  # long enough to be cut on its way


@pytest.fixture
def index(study_folder, monkeypatch):
    """A package index that is the only one that pip knows."""
    server = LocalPackageIndex()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")  # what newer pips do by themselves
    monkeypatch.setenv("TRACE_OF_BUILD", str(study_folder / "trace"))
    monkeypatch.setattr(package_index, "SECONDS_BEFORE_RETRY", 0)
    yield server
    server.close()


def test_an_archive_is_fetched_once_by_all_who_want_it_and_again_when_its_copy_is_damaged(index):
    sha256 = index.add_wheel("poems", "1.0", {"poems/poem.txt": POEM})
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch_archive("poems", "1.0", sha256), range(2))
    assert first == second and index.downloads == ["poems-1.0-py3-none-any.whl"]
    assert read_member(first, "poems/*.txt") == POEM

    first.write_bytes(b"damaged")
    assert read_member(fetch_archive("poems", "1.0", sha256), "poems/*.txt") == POEM
    assert len(index.downloads) == 2


@pytest.mark.slow
def test_an_sdist_is_fetched_by_its_hash_though_there_is_a_wheel(index):
    index.add_wheel("book", "1.0", {"book.txt": b"another book"})
    sha256 = index.add_sdist({"book.txt": POEM})
    assert read_member(fetch_archive("book", "1.0", sha256), "book-1.0/book.txt") == POEM


def test_another_hash_is_refused_before_the_packages_build_runs(index, study_folder):
    sha256 = index.add_sdist({"book.txt": POEM})
    with pytest.raises(StudyError, match=f"book==1.0 has sha256 {sha256}, not {'0' * 64}"):
        fetch_archive("book", "1.0", "0" * 64)
    assert not (study_folder / "trace").exists()
    assert [path.name for path in layout.ARCHIVES.iterdir()] == [f"{'0' * 64}.lock"]


@pytest.mark.slow
def test_a_download_that_breaks_off_is_begun_again(index):
    sha256 = index.add_wheel("poems", "1.0", {"poems/poem.txt": POEM})
    index.cut_downloads = 2
    assert read_member(fetch_archive("poems", "1.0", sha256), "poems/*.txt") == POEM
    assert len(index.downloads) == 3


@pytest.mark.slow
def test_unknown_packages_and_versions_are_named(index):
    index.add_wheel("poems", "1.0", {})
    index.add_wheel("poems", "1.1", {})
    with pytest.raises(StudyError, match="no package 'peoms'"):
        fetch_archive("peoms", "1.0", "0" * 64)
    with pytest.raises(StudyError, match=r"no version '1.2' of poems: the nearest are 1.\d, 1.\d\."):
        fetch_archive("poems", "1.2", "0" * 64)


@pytest.mark.slow
def test_an_index_out_of_reach_is_one_sentence(index):
    index.close()
    with pytest.raises(StudyError, match=r"poems==1.0 could not be fetched in 3 attempts: the package index can't be reached; check the network"):
        fetch_archive("poems", "1.0", "0" * 64)


def test_an_environment_without_pip_is_told_what_to_do(study_folder, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(Path("bare/bin/python").absolute()))
    with pytest.raises(StudyError, match=r"has no pip, which fetches poems==1.0: .*uv pip install pip"):
        fetch_archive("poems", "1.0", "0" * 64)


def texts(folder: Path, files: dict[str, bytes], **fields) -> list[tuple[str, str | None]]:
    source = ArchiveSource.model_validate(cached_archive(folder, files, **fields))
    return [(member, document.text) for member, document in archive.read(source)]


def test_members_are_taken_by_pattern_in_the_archives_order_and_decompressed(study_folder):
    files = {"t/b.txt": b"b", "t/a.txt": b"a", "t/no.md": b"-", "t/z.txt.gz": gzip.compress(b"z"), "t/draft.txt": b"-"}
    found = texts(study_folder, files, members=["*.txt", "*.gz"], exclude=["*/draft*"])
    assert found == [("t/b.txt", "b"), ("t/a.txt", "a"), ("t/z.txt.gz", "z")]


def test_a_pattern_that_matches_nothing_is_named(study_folder):
    with pytest.raises(StudyError, match=r"No file of tiny-texts 1.0 matches '\*.rst': .* such as 't/a.txt'"):
        texts(study_folder, {"t/a.txt": b"a"}, members=["*.txt", "*.rst"])
    path = study_folder / layout.ARCHIVES / cached_archive(study_folder, {"t/a.txt": b"a"})["sha256"]
    with pytest.raises(StudyError, match=r"matches 'lid.\*': .* such as 't/a.txt'"):
        read_member(path, "lid.*")


@pytest.mark.parametrize(
    ("content", "parser", "sentence"),
    [
        (b"caf\xe9", "text", "m in tiny-texts 1.0 is not valid UTF-8: byte 0xe9 at offset 3"),
        (b"first\n\n" * 500 + b"caf\xe9", "passages", "byte 0xe9 at offset 3503"),
        (b'{"a": {"title": "caf\xe9"}}', "titled-extracts", "byte 0xe9 at offset 20"),
        (b'{"a": ', "gcide", r"m in tiny-texts 1.0 does not fit parser 'gcide' \(JSONDecodeError: .*line 1 column"),
        (b'{"a": {"title": "t"}}', "titled-extracts", "does not fit parser 'titled-extracts'.*'extract'"),
        (b"[1]", "titled-extracts", "does not fit parser 'titled-extracts'"),
        (b"<mediawiki><page></mediawiki>", "mediawiki-dump", "does not fit parser 'mediawiki-dump'.*line 1, column 19"),
    ],
)
def test_what_does_not_fit_its_parser_is_named_with_its_place(study_folder, content, parser, sentence):
    with pytest.raises(StudyError, match=sentence):
        texts(study_folder, {"m": content}, parser=parser)


def test_a_member_that_is_no_gz_is_named(study_folder):
    with pytest.raises(StudyError, match=r"m.gz in tiny-texts 1.0 does not fit parser 'text' \(BadGzipFile"):
        texts(study_folder, {"m.gz": b"no gz"})


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"no archive")
    with pytest.raises(StudyError, match="no zip and no tar archive"):
        read_member(tmp_path / "a.whl", "*")
