"""What changed since a stage last ran, as DVC finds it and in words: parameters by key, files by path, code with the commits that changed it."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import zip_longest
from json import dumps
from pathlib import Path
from typing import Any, Literal, cast

from dvc.dependency import ParamsDependency
from dvc.output import Output

from flows.folders import FileChange, differences, files_in_cache, files_on_disk, locked_md5
from flows.graph import StudyGraph
from models.frozen import Frozen
from tasks.lineage import Commit, is_uncommitted, locked_stages, since

ABSENT = "(absent)"
SHOWN = 3  # of many files or stages


class Change(Frozen):
    """One reason why DVC would run a stage."""

    kind: Literal["never run", "command", "parameter", "code", "data", "output", "always"]
    name: str = ""  # a parameter's key, a path
    sentence: str
    old: Any = None  # of a parameter or command
    new: Any = None
    files: tuple[FileChange, ...] = ()  # of a folder, where the version before is known
    commits: tuple[Commit, ...] = ()  # that changed it since the version that the stage ran with, newest first
    uncommitted: bool = False  # whether the work tree has a version that git has not


class Changes:
    """Finds what changed since stages last ran. Files that another process writes at the moment are read as they are: nobody is waited for."""

    def __init__(self, graph: StudyGraph):
        self.graph, self.entries = graph, locked_stages()
        self._since = cache(since)  # many stages read the same code

    def of(self, address: str) -> tuple[Change, ...]:
        """Everything that DVC holds against a stage, in DVC's order; nothing exactly when `dvc status` says nothing of it."""
        stage = self.graph.stage(address)
        if stage.cmd and address not in self.entries:
            return (Change(kind="never run", sentence="it never ran"),)
        found: list[Change] = []
        if not stage.frozen:
            for dependency in stage.deps:
                for status in dependency.status().values():
                    found += _parameters(dependency, status) if isinstance(dependency, ParamsDependency) else [self._input(dependency, status)]
        found += [self._output(out, status) for out in stage.outs for status in out.status().values()]
        if stage.is_callback or stage.always_changed:
            found.append(Change(kind="always", sentence="dvc.yaml lets it run every time"))
        if stage.changed_stage():
            old = self.entries[address].cmd if stage.cmd else None
            found.append(Change(kind="command", sentence=f"command: {in_words(old)} -> {in_words(stage.cmd)}", old=old, new=stage.cmd))
        return tuple(found)

    def _input(self, dependency: Output, status: str) -> Change:
        path, now = str(dependency), files_on_disk(dependency)
        makers = self.graph.makers(dependency)
        kind = "code" if not makers and any(Path(name or path).suffix == ".py" for name in now) else "data"
        made = f" (made by {listed(makers)})" if makers else ""
        if status == "deleted":
            return Change(kind=kind, name=path, sentence=f"{path} is missing{made}")
        if not (md5 := locked_md5(dependency)):
            return Change(kind=kind, name=path, sentence=f"{path} is an input since dvc.yaml changed{made}")
        known = None if makers else self._since(path, md5)
        before = known.md5_by_file if known else files_in_cache(self.graph.repo, md5)
        files = () if before is None else differences(before, now)
        sentence = f"{path} changed{_told(files)}{made}"
        if known is None:
            return Change(kind=kind, name=path, sentence=sentence, files=files)
        return Change(kind=kind, name=path, sentence=sentence, files=files, commits=known.commits, uncommitted=is_uncommitted(path))

    def _output(self, out: Output, status: str) -> Change:
        path, md5 = str(out), locked_md5(out)
        if status == "deleted":
            return Change(kind="output", name=path, sentence=f"its output {path} is missing")
        if not md5:
            return Change(kind="output", name=path, sentence=f"{path} is an output since dvc.yaml changed")
        before = files_in_cache(self.graph.repo, md5)
        files = () if before is None else differences(before, files_on_disk(out))
        if status == "modified":
            return Change(kind="output", name=path, sentence=f"its output {path} was changed after it ran{_told(files)}", files=files)
        return Change(kind="output", name=path, sentence=f"its output {path} is {status}", files=files)


def _parameters(dependency: ParamsDependency, status: Any) -> Iterator[Change]:
    if isinstance(status, str):  # the whole file is gone, or was never read
        yield Change(kind="parameter", name=str(dependency), sentence=f"{dependency} is {status}")
        return
    before = cast(dict[str, Any], (dependency.hash_info and dependency.hash_info.value) or {})
    now = dependency.read_params()
    for key in status:
        for name, old, new in value_differences(key, before.get(key, ABSENT), now.get(key, ABSENT)):
            yield Change(kind="parameter", name=name, sentence=f"{name}: {in_words(old)} -> {in_words(new)}", old=old, new=new)


def value_differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two values of JSON types differ. Items of lists are matched as a text's lines are, so that one that was put in before
    others is one difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from value_differences(f"{key}.{name}", old.get(name, ABSENT), new.get(name, ABSENT))
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        lines = [[dumps(value, sort_keys=True, default=str) for value in values] for values in (old, new)]
        for tag, a, b, c, d in SequenceMatcher(None, *lines, autojunk=False).get_opcodes():
            if tag != "equal":
                for i, (before, after) in enumerate(zip_longest(old[a:b], new[c:d], fillvalue=ABSENT)):
                    yield from value_differences(f"{key}[{i + (c if c + i < d else a)}]", before, after)
    elif old != new:
        yield key, old, new


def _told(files: tuple[FileChange, ...]) -> str:
    """`: a.py changed, b.py added`; empty for a single file, whose path says it."""
    told = [f"{file.path} {file.change}" for file in files if file.path]
    return f": {listed(told)}" if told else ""


def listed(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{', '.join(words[:SHOWN])}{more}"


def in_words(value: Any) -> str:
    return value if value == ABSENT else dumps(value, ensure_ascii=False, default=str)
