"""A study whose parameters are not this folder's: run in a git worktree of its own, and kept as a DVC experiment.

The workspace has the code of the working tree here, uncommitted changes included, and shares what costs: DVC's cache, the run directories of proxies,
fetched archives, the record of runs. Nothing here is touched. When the study is done, its workspace goes and the experiment stays: `dvc exp show`
lists it, `dvc exp apply` brings it back. When it failed, the workspace stays, and the same command goes on in it.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from flows.revision import commit_of_working_tree, git
from models.frozen import StudyError
from tasks.layout import ARCHIVES, LOCAL, MLFLOW, PARAMS, RUN_DIRECTORIES
from tasks.study import Study, load_study

WORKSPACES = LOCAL / "workspaces"
SHARED = (ARCHIVES, RUN_DIRECTORIES, MLFLOW)


def differs_from_here(study: Study) -> bool:
    """Whether it asks for something else than params.yaml here."""
    return not PARAMS.exists() or study != load_study()


def name_of(study: Study) -> str:
    """Of its workspace and its experiment: the same for the same parameters."""
    parameters = json.dumps(study.model_dump(mode="json", by_alias=True), sort_keys=True)
    return f"{study.name}-{hashlib.sha256(parameters.encode()).hexdigest()[:8]}"


def run_apart(params: Path, study: Study, options: Sequence[str]) -> str:
    """Runs `assay run` with `options` on a parameter file in a workspace, and returns the name of the experiment that it became.

    Raises:
        StudyError: this is no git repository with DVC, the same study is at work in its workspace, or it failed there.
    """
    name = name_of(study)
    workspace = WORKSPACES / name
    WORKSPACES.mkdir(parents=True, exist_ok=True)
    one_at_a_time = FileLock(WORKSPACES / "git.lock")  # git and DVC refuse two who change worktrees and refs
    try:
        with FileLock(workspace.with_suffix(".lock"), timeout=0):
            with one_at_a_time:
                make(workspace, params)
            subprocess.run([sys.executable, "-m", "dvc", "checkout", "--quiet", "--force", "--allow-missing"], cwd=workspace)
            if subprocess.run([sys.executable, "-m", "flows.cli", "run", *options], cwd=workspace).returncode:
                raise StudyError(f"The study of {params} is not done, its workspace is kept: {workspace}. Run the same command again to go on there.")
            with one_at_a_time:
                keep(workspace, name)
    except Timeout:
        raise StudyError(f"This study is at work already, in {workspace}: wait for it to end.") from None
    return name


def make(workspace: Path, params: Path) -> None:
    """The worktree, new or as it was left, with the code of here and the parameters of the study."""
    try:
        head, code = git("rev-parse", "HEAD"), commit_of_working_tree()
    except subprocess.CalledProcessError:
        raise StudyError("A study of its own parameters needs a git repository with a commit, in which its experiment is kept.") from None
    git("worktree", "prune")
    if workspace.exists():
        git("-C", str(workspace), "checkout", "--quiet", "--force", "--detach", code)
    else:
        git("worktree", "add", "--quiet", "--detach", str(workspace), code)
    git("-C", str(workspace), "reset", "--quiet", "--mixed", head)  # what nobody committed stays uncommitted, and the experiment is one of HEAD
    shutil.copy(params, workspace / PARAMS)
    if (settings := Path(".dvc/config.local")).exists():
        shutil.copy(settings, workspace / settings)
    cache = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir", "--local", str(Path(cache).resolve())], cwd=workspace, check=True, capture_output=True
    )
    for shared in SHARED:
        shared.mkdir(parents=True, exist_ok=True)
        (workspace / shared).parent.mkdir(parents=True, exist_ok=True)
        if not (workspace / shared).exists():
            (workspace / shared).symlink_to(shared.resolve(), target_is_directory=True)


def keep(workspace: Path, name: str) -> None:
    """Makes a finished workspace an experiment, and removes it.

    Raises:
        StudyError: when DVC can't save it.
    """
    saved = subprocess.run([sys.executable, "-m", "dvc", "exp", "save", "--force", "--name", name], cwd=workspace, capture_output=True, text=True)
    if saved.returncode:
        raise StudyError(f"DVC can't keep {workspace} as an experiment: {' '.join(saved.stderr.split())}")
    git("worktree", "remove", "--force", str(workspace))
