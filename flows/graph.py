"""DVC's graph of the study in the current directory: its stages, what feeds what, which are stale, and the commit of what a stage made.

`dvc.yaml` is the only list of stages. Calls into DVC are made one at a time (its objects are not made for threads), and its repository lock is
held for the length of a call, never while a stage runs.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from dvc.dependency.base import DependencyDoesNotExistError
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.output import Output, OutputDoesNotExistError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import rwlock
from dvc.stage import Stage
from dvc.stage.loader import StageLoader
from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_objects.fs.local import localfs
from pydantic import NonNegativeInt, PositiveInt, ValidationError

from flows.dvc_once import one_graph, one_look, parse_once
from flows.dvc_table import keep_whole
from models.frozen import Frozen, StudyError, nearest
from tasks.stage import refusal_in_words

parse_once()
keep_whole()
logging.getLogger("dvc").setLevel(logging.WARNING)  # it announces every write to dvc.lock
LOCK_FILE = Path("dvc.lock")
HERE = "local"  # the pool that is none: this machine

Inputs = dict[str, Any]  # path -> DVC's hash of it, of everything that a stage depends on


class Needs(Frozen):
    """`meta` of a stage in dvc.yaml: what it keeps busy while it runs (never more than there is), and the work pool that it runs in."""

    cores: PositiveInt | Literal["all"] = 1
    gpus: NonNegativeInt | Literal["all"] = 0
    memory_gb: NonNegativeInt | Literal["all"] = 0
    pool: str = HERE

    @property
    def here(self) -> bool:
        return self.pool == HERE

    def cores_of(self, available: int) -> int:
        return available if self.cores == "all" else min(self.cores, available)


class Busy(Exception):
    """Another DVC command uses a file of the stage. The message says which file and which command."""


class StudyGraph:
    """The stages of `dvc.yaml` and what they depend on, in an order in which they could run. `pool` is where stages run whose `meta` does not say.

    Raises:
        StudyError: here and in all methods, one sentence for what DVC finds wrong.
    """

    def __init__(self, pool: str = HERE) -> None:
        self._pool = pool
        if not Path("dvc.yaml").exists():
            raise StudyError("There is no dvc.yaml here: run this in a study's folder.")
        self._one_at_a_time = threading.RLock()
        with in_one_sentence():
            self._repo = Repo(_wait_for_lock=True)
            with self.locked(), one_graph():
                graph = get_active_graph(self._repo.index.graph)
                order: list[Stage] = plan_repro(graph, [stage for stage in self._repo.index.stages if stage.path_in_repo == "dvc.yaml"])
                self._seen = self._signature()
        self._stages = {stage.addressing: stage for stage in order}
        self.upstream = {stage.addressing: tuple(before.addressing for before in graph.successors(stage)) for stage in order}

    @property
    def addresses(self) -> list[str]:
        """`name` or `name@item`, upstream first."""
        return list(self._stages)

    @property
    def repo(self) -> Repo:
        return self._repo

    def stage(self, address: str) -> Stage:
        """What DVC knows of a stage: to be looked at, not to be changed."""
        return self._stages[address]

    def makers(self, item: Output) -> list[str]:
        """The stages that write an input or output, or something inside it, or that which it is inside of."""
        return [address for address, stage in self._stages.items() if any(localfs.overlaps(out.fs_path, item.fs_path) for out in stage.outs)]

    def named(self, name: str) -> list[str]:
        """The stages that a person means by an address, or by the bare name of a stage with items; none when there is no such stage."""
        return [name] if name in self._stages else [address for address in self._stages if address.split("@")[0] == name]

    def all_upstream(self, address: str) -> list[str]:
        """Everything that a stage depends on, through other stages too, upstream first."""
        found, waiting = set(), list(self.upstream[address])
        while waiting:
            if (before := waiting.pop()) not in found:
                found.add(before)
                waiting += self.upstream[before]
        return [before for before in self._stages if before in found]

    def needs(self, address: str) -> Needs:
        meta = self._stages[address].meta or {}
        try:
            return Needs.model_validate({"pool": self._pool, **meta})
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            if key not in Needs.model_fields:
                raise StudyError(f"dvc.yaml: stage '{address}' has an unknown meta.{key}{nearest(key, Needs.model_fields)}.") from None
            raise StudyError(f"dvc.yaml: meta.{key} of stage '{address}' is {meta[key]!r}: give a number or all, or, as the pool, a name.") from None

    def refresh(self) -> bool:
        """Reads dvc.lock again when another DVC command wrote it, and says whether one did."""
        with self.locked(), in_one_sentence():
            if self._signature() == self._seen:
                return False
            self._read_lock_file()
            return True

    def is_stale(self, address: str) -> bool:
        """Whether DVC would run the stage now. Means something once everything upstream is done.

        Raises:
            Busy: another DVC command writes what the stage reads, or uses what it writes.
        """
        with self.locked(), in_one_sentence(), busy_if_locked():
            return self._stages[address].changed()

    def command(self, address: str) -> tuple[list[list[str]], str, dict[str, str]]:
        """The command lines of a stage one after the other, their directory and their environment, as `dvc repro` would run them.

        No command lines for data that DVC only watches (`dvc add`, a frozen stage).
        """
        stage = self._stages[address]
        settings = prepare_kwargs(stage)
        lines = [] if stage.frozen or not stage.cmd else _enforce_cmd_list(stage.cmd)
        return [_make_cmd(get_executable(), line) for line in lines], settings["cwd"], settings["env"]

    def claim(self, address: str) -> ExitStack:
        """Marks a stage's files as in use, until the return value is closed, as `dvc repro` does for the stage that it runs: another DVC process
        that would write them, or read what is being written, is refused and told by whom. The marks of a killed process are void.

        Raises:
            Busy: another DVC command came first.
        """
        stage = self._stages[address]
        deps, outs = ([item.fs_path for item in items if item.protocol == "local"] for items in (stage.deps, stage.outs))
        marks = rwlock(self._repo.tmp_dir, self._repo.fs, " ".join(sys.argv), deps, outs, False)

        def give_back() -> None:
            with self.locked(), in_one_sentence():
                marks.__exit__(None, None, None)

        with self.locked(), in_one_sentence(), busy_if_locked():
            marks.__enter__()
        claim = ExitStack()
        claim.callback(give_back)
        return claim

    def prepare(self, address: str) -> Inputs:
        """Makes way for a stage's outputs (those that persist are made writable) and says what it is about to read."""
        stage = self._stages[address]
        if stage.is_import and not stage.frozen:
            raise StudyError(f"{address} is an import that is out of date: bring it here with `dvc update {address}`, then run this again.")
        with self.locked(), in_one_sentence():
            try:
                stage.save_deps()
            except DependencyDoesNotExistError as error:
                raise StudyError(f"Stage {address} cannot start: {error}.") from None
            stage.remove_outs(ignore_remove=False, force=False)
            return self._inputs(stage)

    def commit(self, address: str, inputs: Inputs) -> None:
        """Records in `dvc.lock` and in the cache what a stage made of `inputs`.

        Raises:
            StudyError: when an input is no longer what it was, or an output was not written. `dvc.lock` is then as before.
        """
        stage = self._stages[address]
        with self.locked(), in_one_sentence():
            self._refuse_changed_inputs(stage, inputs)
            try:
                stage.save(run_cache=all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs))
            except OutputDoesNotExistError as error:
                raise StudyError(f"Stage {address} ended well, but did not write what dvc.yaml promises: {error}.") from None
            stage.commit()
            self._write_lock_entry(stage)

    def accept(self, address: str, inputs: Inputs, entry: dict[str, Any]) -> None:
        """Records in `dvc.lock` what a stage made of `inputs` on another machine, and puts its outputs in place, which are in the cache.

        Raises:
            StudyError: as `commit` does.
        """
        stage = self._stages[address]
        with self.locked(), in_one_sentence():
            self._refuse_changed_inputs(stage, inputs)
            StageLoader.fill_from_lock(stage, entry)
            for out in stage.outs:
                out.checkout(force=True)
            self._write_lock_entry(stage)

    def lock_entry(self, address: str) -> dict[str, Any]:
        """What dvc.lock says of a stage that was committed."""
        return json.loads(json.dumps(to_single_stage_lockfile(self._stages[address])))  # of plain types

    def _refuse_changed_inputs(self, stage: Stage, inputs: Inputs) -> None:
        try:
            stage.save_deps()
        except DependencyDoesNotExistError as error:
            raise StudyError(f"Stage {stage.addressing}: an input was removed while it ran: {error}; restore it and run it again.") from None
        now = self._inputs(stage)
        if changed := [path for path in inputs if now[path] != inputs[path]]:
            raise StudyError(
                f"Stage {stage.addressing}: its input {changed[0]} changed while it ran, so its result belongs to neither; run it again."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """DVC's repository lock, for several calls in a row."""
        with self._one_at_a_time, lock_repo(self._repo), self._repo.scm_context(quiet=True):
            yield

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """The lock, for questions about many stages in a row: the files are as they are when they are looked at first."""
        with self.locked(), one_look():
            yield

    @staticmethod
    def _inputs(stage: Stage) -> Inputs:
        return {str(dependency): dependency.hash_info for dependency in stage.deps}

    def _write_lock_entry(self, stage: Stage) -> None:
        only_we_wrote = self._signature() == self._seen
        stage.dump(update_pipeline=False)
        if only_we_wrote:
            self._seen = self._signature()

    def _read_lock_file(self) -> None:
        entries = Lockfile(self._repo, str(LOCK_FILE.resolve())).load().get("stages", {})
        for address, stage in self._stages.items():
            if entry := entries.get(address):
                stage.cmd_changed = entry["cmd"] != stage.cmd  # pyright: ignore[reportAttributeAccessIssue]
                StageLoader.fill_from_lock(stage, entry)
        self._seen = self._signature()

    @staticmethod
    def _signature() -> tuple[int, int, int] | None:
        """Tells one dvc.lock from another; None when there is none."""
        try:
            status = LOCK_FILE.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turns DVC's errors, which may have many lines, into a StudyError."""
    try:
        yield
    except LockError as error:
        raise StudyError(f"Another DVC command is at work here: {who(error)}. Wait for it to end, then run this again.") from None
    except DvcException as error:
        raise StudyError(refusal_in_words(error) or f"DVC: {' '.join(str(error).split())}.") from error
    except OSError as error:
        if (sentence := refusal_in_words(error)) is None:
            raise
        raise StudyError(sentence) from error


@contextmanager
def busy_if_locked() -> Iterator[None]:
    try:
        yield
    except LockError as error:
        raise Busy(who(error)) from None


def who(error: LockError) -> str:
    return " ".join(str(error).split("\n\n")[0].split())
