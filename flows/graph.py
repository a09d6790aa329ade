"""DVC's graph of the study in the current directory: its stages, what feeds what, which are stale, and the commit of what a stage made.

`dvc.yaml` is the only list of stages. Calls into DVC are made one at a time (its objects are not made for threads), and its repository lock is
held for the length of a call, never while a stage runs.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.dependency.base import DependencyDoesNotExistError
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.output import OutputDoesNotExistError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import rwlock
from dvc.stage import Stage
from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs

from models.frozen import StudyError
from tasks.stage import refusal_in_words

logging.getLogger("dvc").setLevel(logging.WARNING)  # it announces every write to dvc.lock
BUSY_SECONDS = 10  # how long a file of a stage may be in use by another DVC command before we say so

Inputs = dict[str, Any]  # path -> DVC's hash of it, of everything that a stage depends on


class StudyGraph:
    """The stages of `dvc.yaml` and what they depend on, in an order in which they could run.

    Raises:
        StudyError: here and in all methods, one sentence for what DVC finds wrong.
    """

    def __init__(self) -> None:
        if not Path("dvc.yaml").exists():
            raise StudyError("There is no dvc.yaml here: run this in a study's folder.")
        self._one_at_a_time = threading.RLock()
        with in_one_sentence():
            self._repo = Repo(_wait_for_lock=True)
            with self.locked():
                graph = get_active_graph(self._repo.index.graph)
                order: list[Stage] = plan_repro(graph, list(self._repo.stage.collect("dvc.yaml")))
        self._stages = {stage.addressing: stage for stage in order}
        self.upstream = {stage.addressing: tuple(before.addressing for before in graph.successors(stage)) for stage in order}

    @property
    def addresses(self) -> list[str]:
        """`name` or `name@item`, upstream first."""
        return list(self._stages)

    def cores(self, address: str, available: int) -> int:
        """Cores that a stage keeps busy: `meta: {cores: 2}` or `{cores: all}` in dvc.yaml, one when absent; never more than there are."""
        wanted = (self._stages[address].meta or {}).get("cores", 1)
        if wanted == "all":
            return available
        if not isinstance(wanted, int) or wanted < 1:
            raise StudyError(f"dvc.yaml: meta.cores of stage '{address}' is {wanted!r}: give a number of cores, or all.")
        return min(wanted, available)

    def is_stale(self, address: str) -> bool:
        """Whether DVC would run the stage now. Means something once everything upstream is done."""
        with self.locked(), in_one_sentence():
            return patiently(self._stages[address].changed)

    def command(self, address: str) -> tuple[list[list[str]], str, dict[str, str]]:
        """The command lines of a stage one after the other, their directory and their environment, as `dvc repro` would run them.

        No command lines for data that DVC only watches (`dvc add`, a frozen stage).
        """
        stage = self._stages[address]
        settings = prepare_kwargs(stage)
        lines = [] if stage.frozen or not stage.cmd else _enforce_cmd_list(stage.cmd)
        return [_make_cmd(get_executable(), line) for line in lines], settings["cwd"], settings["env"]

    @contextmanager
    def claimed(self, address: str) -> Iterator[None]:
        """Marks a stage's files as in use, as `dvc repro` does for the stage that it runs: another DVC process that would write them, or
        read what is being written, is refused and told by whom. The marks of a killed process are void."""
        stage = self._stages[address]
        paths = {kind: [item.fs_path for item in getattr(stage, kind) if item.protocol == "local"] for kind in ("deps", "outs")}
        marks = None

        def mark() -> Any:
            attempt = rwlock(self._repo.tmp_dir, self._repo.fs, " ".join(sys.argv), paths["deps"], paths["outs"], False)
            attempt.__enter__()
            return attempt

        with self.locked(), in_one_sentence():
            marks = patiently(mark)
        try:
            yield
        finally:
            with self.locked(), in_one_sentence():
                marks.__exit__(None, None, None)

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
            try:
                stage.save_deps()
            except DependencyDoesNotExistError as error:
                raise StudyError(f"Stage {address}: an input was removed while it ran: {error}; restore it and run it again.") from None
            now = self._inputs(stage)
            if changed := [path for path in inputs if now[path] != inputs[path]]:
                raise StudyError(f"Stage {address}: its input {changed[0]} changed while it ran, so its result belongs to neither; run it again.")
            try:
                stage.save(run_cache=all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs))
            except OutputDoesNotExistError as error:
                raise StudyError(f"Stage {address} ended well, but did not write what dvc.yaml promises: {error}.") from None
            stage.commit()
            stage.dump(update_pipeline=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """DVC's repository lock, for several calls in a row."""
        with self._one_at_a_time, lock_repo(self._repo), self._repo.scm_context(quiet=True):
            yield

    @staticmethod
    def _inputs(stage: Stage) -> Inputs:
        return {str(dependency): dependency.hash_info for dependency in stage.deps}


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turns DVC's errors, which may have many lines, into a StudyError."""
    try:
        yield
    except LockError as error:
        owner = " ".join(str(error).split("\n\n")[0].split())
        raise StudyError(f"Another DVC command is at work here: {owner}. Wait for it to end, then run this again.") from None
    except DvcException as error:
        raise StudyError(refusal_in_words(error) or f"DVC: {' '.join(str(error).split())}.") from error
    except OSError as error:
        if (sentence := refusal_in_words(error)) is None:
            raise
        raise StudyError(sentence) from error


def patiently(call: Callable[[], Any]) -> Any:
    """Calls until the files are free of other DVC commands, for `BUSY_SECONDS` at most."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return call()
        except LockError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
