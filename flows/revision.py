"""The study's files as another machine gets them: a commit on a ref of its own at the git remote.

The commit holds what git tracks, as it is in the working tree, with changes that nobody committed and with dvc.lock as it is now; untracked files are
not carried, for nobody said that they may leave this machine. The branch, the index and the working tree stay as they are, and the ref is removed at
the remote when the stage is done.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from models.frozen import Frozen, StudyError
from tasks.layout import LOCAL
from tasks.stage import TemporaryError

AUTHOR = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "assay"), ("EMAIL", "assay@localhost"))}
GIT_SECONDS = 1800.0


class Revision(Frozen):
    """Where to get the files. `folder`: of the study, in the repository."""

    url: str
    ref: str
    commit: str
    folder: str


@contextmanager
def published() -> Iterator[Revision]:
    """The working tree here, at the git remote for as long as the block lasts.

    Raises:
        StudyError: this is no git repository, or it has no remote.
        TemporaryError: the remote does not take it.
    """
    url = remote_url()
    commit = commit_of_working_tree("The files of a stage that runs elsewhere")
    revision = Revision(url=url, ref=f"refs/assay/{uuid4()}", commit=commit, folder=git("rev-parse", "--show-prefix"))
    with over_the_network(f"The git remote {url} does not take the study's files"):
        git("push", "--quiet", url, f"{commit}:{revision.ref}")
    try:
        yield revision
    finally:
        with suppress(subprocess.CalledProcessError):  # a ref too many there does no harm
            git("push", "--quiet", url, f":{revision.ref}")


def remote_url() -> str:
    """Of `origin`, or of the only remote that there is."""
    try:
        remotes = git("remote").splitlines()
    except subprocess.CalledProcessError:
        raise StudyError("A stage can run elsewhere only from a git repository: run `git init`, commit, and add a remote.") from None
    if not remotes:
        raise StudyError("A stage that runs elsewhere gets its files from a git remote, and there is none: `git remote add origin URL`.")
    return git("remote", "get-url", "origin" if "origin" in remotes else remotes[0])


def commit_of_working_tree(message: str) -> str:
    """A commit on top of HEAD that no branch knows."""
    LOCAL.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=LOCAL) as folder:
        index = Path(folder, "index").resolve()
        shutil.copy2(git("rev-parse", "--git-path", "index"), index)  # with its time: git reads again what changed in the same second
        private = {"GIT_INDEX_FILE": str(index), **AUTHOR}
        git("add", "--update", ":/", more=private)
        if Path("dvc.lock").exists():
            git("add", "dvc.lock", more=private)
        tree = git("write-tree", more=private)
        return git("commit-tree", tree, "-p", "HEAD", "-m", message, more=private)


def check_out(revision: Revision, directory: Path) -> None:
    """Brings a revision to a directory. What git ignores there stays: run directories with their checkpoints, data.

    Raises:
        TemporaryError: the remote does not give it.
    """
    if not (directory / ".git").exists():
        directory.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", at=directory)
    with over_the_network(f"The git remote {revision.url} does not give {revision.ref}"):
        git("fetch", "--quiet", "--depth", "1", revision.url, revision.ref, at=directory)
    git("checkout", "--quiet", "--force", "--detach", revision.commit, at=directory)
    git("clean", "--quiet", "-fd", "--exclude", str(LOCAL), at=directory)


def git(*arguments: str, at: Path = Path(), more: Mapping[str, str] | None = None) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(more or {})}
    done = subprocess.run(["git", *arguments], cwd=at, env=environment, check=True, capture_output=True, text=True, timeout=GIT_SECONDS)
    return done.stdout.strip()


@contextmanager
def over_the_network(sentence: str) -> Iterator[None]:
    try:
        yield
    except subprocess.CalledProcessError as error:
        raise TemporaryError(f"{sentence}: {' '.join(error.stderr.split())}.") from None
    except subprocess.TimeoutExpired:
        raise TemporaryError(f"{sentence} within {GIT_SECONDS:.0f} s.") from None
