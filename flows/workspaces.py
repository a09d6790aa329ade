"""Studies side by side: one whose parameters are not the checkout's runs in a git worktree of its own, and ends as a DVC experiment.

The worktree, `.assay/workspaces/<name>`, begins as what git tracks in the checkout, with changes that nobody committed (untracked files are not
carried, as with `dvc exp run`), and with the outputs that are up to date there, linked from the cache. It shares with the checkout DVC's cache and
remotes, finished and begun runs, fetched archives and the record of runs. When the study is done its worktree goes; when it failed or was ended, it
stays, and the next run of the same parameters goes on in it. The user's working tree, index and branch are never written.

The experiment is made as a commit and a ref (`refs/exps/<baseline>/<name>`), not by `dvc exp save`: the refs that DVC needs on the way are one set
for all worktrees of a repository, and two studies may end at once.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.config import merge
from dvc.repo import Repo
from dvc.repo.experiments.refs import EXPS_NAMESPACE, ExpRefInfo
from filelock import FileLock

from flows.asked_study import AskedStudy
from flows.graph import LOCK_FILE, StudyGraph, in_one_sentence
from flows.revision import commit_of_working_tree, git
from flows.turns import one_at_a_time
from models.frozen import Frozen, StudyError
from tasks.layout import ARCHIVES, LOCAL, MLFLOW, PARAMS, RUN_DIRECTORIES

WORKSPACES = LOCAL / "workspaces"
SHARED = (RUN_DIRECTORIES, ARCHIVES, MLFLOW)
LINKS = "reflink,hardlink,copy"  # outputs are written anew, never in place


class Workspace(Frozen):
    """Where an asked study runs. `path` of its worktree, from the checkout's folder; `folder` of the study in it, absolute."""

    name: str
    path: Path
    folder: Path


def workspace_path(asked: AskedStudy) -> Path:
    return WORKSPACES / asked.name


def is_apart() -> bool:
    """Whether the current directory is that of a study in a workspace."""
    return f"/{WORKSPACES}/" in f"{Path.cwd()}/"


@contextmanager
def held(asked: AskedStudy, on_wait: Callable[[], None]) -> Iterator[Workspace]:
    """The workspace of a study, made or found again, ready to run. It is there for one process at a time.

    Raises:
        StudyError: there is no git commit to start from, git makes no worktree, or an input of the study is one that git and DVC do not know.
    """
    WORKSPACES.mkdir(parents=True, exist_ok=True)
    path = workspace_path(asked)
    with one_at_a_time(FileLock(f"{path}.lock"), on_wait):
        try:
            workspace = Workspace(name=asked.name, path=path, folder=path.resolve() / git("rev-parse", "--show-prefix"))
            baseline = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        except subprocess.CalledProcessError:
            raise StudyError(
                f"A study with other parameters than {PARAMS} runs in a git worktree, and there is no git commit here: run `git init`, add, commit."
            ) from None
        with _refusals_in_words():
            _bring_up_to_the_checkout(workspace, baseline)
        (workspace.folder / PARAMS).write_text(asked.text, encoding="utf-8")
        _share(workspace, Repo())
        with contextlib.chdir(workspace.folder):
            _refuse_inputs_left_behind()
        yield workspace


def finish(workspace: Workspace) -> str:
    """Makes a DVC experiment of what the workspace holds, removes the workspace, and returns the experiment's name.

    Raises:
        StudyError: git does not take it.
    """
    with _refusals_in_words():
        with contextlib.chdir(workspace.folder):
            commit = commit_of_working_tree(f"assay: study {workspace.name}")
            ref = str(ExpRefInfo(git("rev-parse", "HEAD"), workspace.name))
        git("update-ref", ref, commit)
        git("worktree", "remove", "--force", str(workspace.path))
        return workspace.name


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except subprocess.CalledProcessError as error:
        raise StudyError(f"`git {error.cmd[1]}` does not go through: {' '.join(error.stderr.split())}.") from None


def _bring_up_to_the_checkout(workspace: Workspace, baseline: str) -> None:
    """Gives the worktree, which is made when there is none, what the checkout tracks. What was done in it, or in an earlier run, stays done."""
    lock_file = workspace.folder / LOCK_FILE
    if not (workspace.path / ".git").exists():
        git("worktree", "prune")
        git("worktree", "add", "--quiet", "--detach", "--no-checkout", str(workspace.path), baseline)
    done = lock_file.read_bytes() if lock_file.exists() else _lock_of_experiment(workspace.name)
    carried = commit_of_working_tree("The files of a study that runs beside this one")
    git("checkout", "--quiet", "--force", "--detach", carried, at=workspace.path)
    git("reset", "--quiet", "--soft", baseline, at=workspace.path)
    if done:
        lock_file.write_bytes(done)


def _lock_of_experiment(name: str) -> bytes | None:
    """The lock of the newest experiment of these parameters, or None."""
    refs = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", EXPS_NAMESPACE).splitlines()
    for ref in refs:
        if ref.rsplit("/", 1)[-1] == name:
            found = subprocess.run(["git", "show", f"{ref}:./{LOCK_FILE}"], capture_output=True, check=False)
            return found.stdout if found.returncode == 0 else None
    return None


def _share(workspace: Workspace, checkout: Repo) -> None:
    """Lets the workspace use what is the checkout's, and puts its outputs in place as far as the cache has them."""
    for path in SHARED:
        path.mkdir(parents=True, exist_ok=True)
        link = workspace.folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path.resolve(), target_is_directory=True)
    with in_one_sentence():
        here = Repo(str(workspace.folder))
        with here.config.edit("local") as settings:
            merge(settings, {"cache": {"type": LINKS}})
            for level in ("repo", "local"):  # with absolute paths, as relative ones would lead elsewhere
                merge(settings, checkout.config.load_one(level))
            merge(settings, {"cache": {"dir": checkout.cache.local_cache_dir}})
        with contextlib.chdir(workspace.folder):
            Repo().checkout(force=True, allow_missing=True)


def _refuse_inputs_left_behind() -> None:
    graph = StudyGraph()
    for address in graph.addresses:
        for dependency in graph.stage(address).deps:
            if dependency.protocol == "local" and not graph.makers(dependency) and not dependency.exists:
                raise StudyError(
                    f"Stage {address} reads {dependency}, which neither git nor DVC knows, so a study beside this one does not get it: "
                    f"`git add` or `dvc add` it, or name it by its absolute path."
                )
