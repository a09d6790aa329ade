"""What DVC does anew for every stage and every file, done once: of a study with hundreds of mixtures that is the most of its time.

DVC's own code still decides. What it is given is what it would have found itself: the files' bytes of that moment, and, as long as DVC's lock is held
(`one_look`), the hash that a path had when it was looked at first.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any, cast

import dpath
import dvc.dependency.param
import dvc.output
import dvc.rwlock
import dvc.utils.strictyaml
import psutil
from dvc.output import Output
from dvc.rwlock import _check_blockers
from dvc.utils.serialize import PARSERS, load_path
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.resolver import VersionedResolver

_read_param_file, _parse_yaml = dvc.dependency.param.read_param_file, dvc.utils.strictyaml.parse_yaml
PATTERN = frozenset("*?[")  # what makes a parameter's key a pattern


def parse_once() -> None:
    """From now on, in this process, the same text of params.yaml is parsed once, and a parameter is looked up and not searched for."""
    dvc.dependency.param.load_path = _load
    dvc.dependency.param.read_param_file = _values


@contextmanager
def one_graph() -> Iterator[None]:
    """As long as it lasts, DVC asks once what file system paths in this folder are on, and resolves each scalar of `dvc.lock` once."""
    get_cloud_fs = dvc.output.get_cloud_fs
    here: list[tuple[Any, dict[str, Any]]] = []

    def file_system(config: Any, url: str, **settings: Any) -> tuple[Any, dict[str, Any], str]:
        if settings or "://" in url:
            return get_cloud_fs(config, url=url, **settings)
        if not here:
            here.append(get_cloud_fs(config, url=".")[:2])
        kind, its_settings = here[0]
        return kind, kind._get_kwargs_from_urls(url) | its_settings, kind._strip_protocol(url)

    dvc.output.get_cloud_fs, dvc.utils.strictyaml.parse_yaml = file_system, _parse_scalars_once
    try:
        with no_search_for_garbage():
            yield
    finally:
        dvc.output.get_cloud_fs, dvc.utils.strictyaml.parse_yaml = get_cloud_fs, _parse_yaml


@contextmanager
def one_look() -> Iterator[None]:
    """As long as it lasts, each path is hashed once, and DVC's table of readers and writers is read once. For one thread, under DVC's lock."""
    hashes: dict[tuple[str, str | None], Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    get_hash, rwlock = Output.get_hash, dvc.rwlock.rwlock

    def hashed_once(self: Output) -> Any:
        if self.fs.protocol != "local":
            return get_hash(self)
        key = (self.fs_path, self.hash_name)
        if key not in hashes:
            hashes[key] = get_hash(self)
        return hashes[key]

    def looked_up(tmp_dir: str, fs: Any, cmd: str, read: list[str], write: list[str], hardlink: bool) -> AbstractContextManager[None]:
        """Refuses as DVC does, and marks nothing: whoever would write the files waits for DVC's lock."""
        if tmp_dir not in tables:
            with dvc.rwlock._edit_rwlock(tmp_dir, fs, hardlink) as table:
                _forget_the_dead(table)
            tables[tmp_dir] = cast(dict[str, Any], table)
        ours = {"pid": os.getpid(), "cmd": cmd}
        _check_blockers(tmp_dir, tables[tmp_dir], ours, mode="write", waiters=read + write)
        _check_blockers(tmp_dir, tables[tmp_dir], ours, mode="read", waiters=write)
        return nullcontext()

    Output.get_hash, dvc.rwlock.rwlock = cast(Any, hashed_once), looked_up
    try:
        yield
    finally:
        Output.get_hash, dvc.rwlock.rwlock = get_hash, rwlock


def _forget_the_dead(table: Any) -> None:
    """Of DVC's readers and writers."""
    table["write"] = {path: mark for path, mark in table["write"].items() if psutil.pid_exists(mark["pid"])}
    read = {path: [mark for mark in marks if psutil.pid_exists(mark["pid"])] for path, marks in table["read"].items()}
    table["read"] = {path: marks for path, marks in read.items() if marks}


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Among millions of objects that all stay, it takes half of the time. It will not look at them later either."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if searches:
            gc.enable()


def _values(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **settings: Any) -> Any:
    if not key_paths or not flatten:
        return _read_param_file(fs, path, key_paths, flatten, **settings)
    config, values = _load(path, fs, **settings), {}
    for key in key_paths:
        with suppress(KeyError):
            values[key] = _value(config, key)
    return values


def _value(config: Any, key: str) -> Any:
    value = config
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value or PATTERN & set(name):
            return dpath.get(config, key, separator=".")  # as DVC does: it looks at each value of the file
        value = value[name]
    return value


def _load(path: str, fs: Any, **settings: Any) -> Any:
    if settings or not fs.isfile(path):
        return load_path(path, fs, **settings)
    with fs.open(path, encoding="utf-8") as file:
        return _parsed(file.read(), path, fs.suffix(path).lower())


@lru_cache(maxsize=4)
def _parsed(text: str, path: str, suffix: str) -> Any:
    return PARSERS[suffix](text, path)


def _parse_scalars_once(text: str, path: str, typ: str = "safe") -> Any:
    yaml = YAML(typ=typ)
    if typ == "safe":
        yaml.Resolver = _ResolvesOnce
    try:
        return yaml.load(text) or {}
    except YAMLError:
        return _parse_yaml(text, path, typ)  # which finds the words


class _ResolvesOnce(VersionedResolver):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._tags: dict[Any, Any] = {}

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        key = (kind, value, implicit)
        if key not in self._tags:
            self._tags[key] = super().resolve(*key)
        return self._tags[key]
