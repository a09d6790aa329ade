"""Which data and which code made a result: md5s from `dvc.lock`, the commit from git."""

import subprocess
from pathlib import Path

import yaml

LOCK = Path("dvc.lock")


def locked_md5s() -> dict[str, str]:
    """md5 of every output that `dvc.lock` records, by path; a folder's ends in `.dir`."""
    if not LOCK.exists():
        return {}
    stages = yaml.safe_load(LOCK.read_text(encoding="utf-8")).get("stages", {})
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}


def git_commit() -> str | None:
    """The commit of the study's folder, or None where there is no commit."""
    return _git("rev-parse", "--verify", "--quiet", "HEAD").strip() or None


def git_diff() -> str:
    """What the tracked files of the work tree add to the commit; empty when it is clean."""
    return _git("diff", "HEAD", "--", ".", ":(exclude)dvc.lock")


def _git(*arguments: str) -> str:
    """Standard output of a git command; empty where git refuses (no repository, no commit)."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False).stdout
