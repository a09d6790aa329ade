"""dvc.lock and git as they are read: against what DVC and git themselves say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.frozen import StudyError
from tasks.lineage import commit_of, commits_of, file_at, folder_md5, is_uncommitted, locked_stages, md5s_at, since

DVC_YAML = """
stages:
  write:
    cmd: python -c "import pathlib; [pathlib.Path('out', n).write_text(n) for n in 'ab' if pathlib.Path('out').mkdir(exist_ok=True) is None]"
    deps: [code]
    params: [size, steps]
    outs: [out]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lineage")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text("size: 3\nsteps: [{a: 1}]\n")
    (folder / ".gitignore").write_text("out/\n.dvc/\n")
    write(folder, "a.py", "one")
    write(folder, "deep/ü.py", "two")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, check=True)
    git(folder, "init", "-q")
    commit(folder, "first")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["cp", "-r", f"{made}/.", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / "code" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "code" / name).write_text(text)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, subject: str) -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-qm", subject)
    return git(folder, "rev-parse", "HEAD").strip()


def test_the_lock_now_and_at_a_commit(folder):
    stage = locked_stages()["write"]
    assert stage.params == {"size": 3, "steps": [{"a": 1}]} and stage.deps.keys() == {"code"} and stage.outs.keys() == {"out"}
    assert locked_stages("HEAD") == {"write": stage}
    Path("dvc.lock").unlink()
    assert locked_stages() == {} and locked_stages("HEAD") == {"write": stage} and locked_stages("no-such") == {}


@pytest.mark.parametrize("text", ["stages: [1, 2", "stages: {write: 1}", "stages: {write: {outs: [{md5: 1}]}}", "7"])
def test_a_lock_that_is_none(folder, text):
    Path("dvc.lock").write_text(text)
    with pytest.raises(StudyError, match=r"^dvc.lock is not a lock of DVC"):
        locked_stages()


def test_a_folder_has_dvcs_md5(folder):
    md5 = locked_stages()["write"].outs["out"]
    listed = json.loads(Path(".dvc/cache/files/md5", md5[:2], md5[2:]).read_text())
    assert folder_md5({file["relpath"]: file["md5"] for file in listed}) == md5
    assert folder_md5(md5s_at("HEAD", "code")) == locked_stages()["write"].deps["code"], "of git's files too, with names outside ASCII"


def test_what_git_knows_of_a_folder_since_it_was_read(folder):
    read = locked_stages()["write"].deps["code"]
    found = since("code", read)
    assert found and found.commits == () and set(found.md5_by_file) == {"a.py", "deep/ü.py"}
    write(folder, "a.py", "changed")
    second = commit(folder, "second")
    Path("in.txt").touch()
    commit(folder, "elsewhere")
    write(folder, "b.py", "new")
    third = commit(folder, "third")
    found = since("code", read)
    assert found and [one.revision for one in found.commits] == [third, second] and [one.subject for one in found.commits] == ["third", "second"]
    assert since("code", "0" * 32 + ".dir") is None and since("code", read, at_most=2) is None
    assert not is_uncommitted("code")
    write(folder, "b.py", "newer")
    assert is_uncommitted("code") and not is_uncommitted("in.txt")


def test_what_git_knows_of_a_file(folder):
    (md5,) = md5s_at("HEAD", "code/a.py").values()
    write(folder, "a.py", "changed")
    second = commit(folder, "second: with\ta tab")
    found = since("code/a.py", md5)
    assert found and [(one.revision, one.subject) for one in found.commits] == [(second, "second: with\ta tab")] and found.md5_by_file == {"": md5}
    assert file_at("HEAD", "code/a.py") == b"changed" and file_at("HEAD~1", "code/a.py") == b"one" and file_at("HEAD", "none") is None


def test_revisions(folder):
    head = git(folder, "rev-parse", "HEAD").strip()
    assert commit_of("HEAD") == commit_of(head[:8]) == head
    assert commit_of("no-such-branch") is None and commit_of("--all") is None and commit_of("HEAD:code") is None


def test_without_git_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of("HEAD") is None and list(commits_of("x", 5)) == [] and since("x", "0") is None and not is_uncommitted("x")
