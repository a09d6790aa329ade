"""The files of a stage's inputs and outputs by md5: as they are on disk, and as DVC's cache remembers them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from dvc.output import Output
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.state import StateNoop
from dvc_data.hashfile.tree import Tree

from models.frozen import Frozen
from tasks.lineage import FOLDER

Files = dict[str, str]  # md5 by path inside a folder; of a single file, by the empty path


class FileChange(Frozen):
    path: str  # inside the folder
    change: Literal["added", "removed", "changed"]


def locked_md5(item: Output) -> str | None:
    """Of an input or output when its stage last ran; a folder's ends in `.dir`."""
    return cast(str | None, item.hash_info.value) if item.hash_info else None


def files_on_disk(item: Output, all_anew: bool = False) -> Files:
    """Of an input or output; empty when nothing is there. `all_anew` reads every byte, also where time and size are what DVC remembers."""
    if not item.exists:
        return {}
    cache = HashFileDB(item.fs, item.local_cache.path, state=StateNoop()) if all_anew else item.local_cache
    _, _, found = build(cache, item.fs_path, item.fs, "md5", ignore=cast(Any, item.dvcignore), dry_run=True)
    if not isinstance(found, Tree):
        return {"": cast(str, found.hash_info.value)}
    return {"/".join(parts): cast(str, md5.value) for parts, _, md5 in found if md5}


def files_in_cache(repo: Repo, md5: str) -> Files | None:
    """Of a version of a file or folder, or None when DVC's cache has no list of its files (it keeps those of outputs)."""
    if not md5.endswith(FOLDER):
        return {"": md5}
    try:
        listed = json.loads(Path(repo.cache.local.oid_to_path(md5)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {file["relpath"]: file["md5"] for file in listed}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[FileChange, ...]:
    """What happened to the files of a folder, by path."""
    removed = [FileChange(path=path, change="removed") for path in before.keys() - now.keys()]
    added = [FileChange(path=path, change="added") for path in now.keys() - before.keys()]
    changed = [FileChange(path=path, change="changed") for path in before.keys() & now.keys() if before[path] != now[path]]
    return tuple(sorted([*removed, *added, *changed], key=lambda change: change.path))
