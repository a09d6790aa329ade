"""The parent run of an execution: begun once, joined by its stages, and closed; if not by itself, then by the next one that begins.

Which executions are open in a folder is written in `.assay/mlflow/open`. A flow's ends with the flow, which holds a lock for as long as it lives:
whether it died is a question to the kernel. That of `dvc repro`, whose stages are processes of their own, goes on until the report, or until it
turns out that a run of it is open which nobody trains.
"""

from typing import Literal

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks import layout
from tasks.lineage import git_diff
from tasks.run_directory import RunDirectory
from tasks.tracking.child import KIND, PARENT, RUN_KEY
from tasks.tracking.store import search_all

OPEN = layout.MLFLOW / "open"  # <id of the parent run>.flow, which the flow locks, or <id>.stages
Ending = Literal["FINISHED", "FAILED", "KILLED"]


class Executions:
    """Those of this folder in one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str):
        self.client, self.experiment_id = client, experiment_id
        self._flow_lock: FileLock | None = None

    def begin_or_join(self, name: str, tags: dict[str, str], of_a_flow: bool) -> str:
        """The id of an execution's run: a flow begins one, a stage joins the one that is open. What nobody works at any more is closed."""
        OPEN.mkdir(parents=True, exist_ok=True)
        living = [path.stem for path in sorted(OPEN.iterdir()) if self._lives(path.stem, path.suffix == ".flow", joinable=not of_a_flow)]
        if living and not of_a_flow:
            return living[-1]
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags=tags | {KIND: "study"}).info.run_id
        if of_a_flow:
            self._flow_lock = FileLock(OPEN / f"{run_id}.flow", thread_local=False)
            self._flow_lock.acquire()
        else:
            (OPEN / f"{run_id}.stages").touch()
        self.client.log_text(run_id, layout.PARAMS.read_text(encoding="utf-8"), "params.yaml")
        if diff := git_diff():
            self.client.log_text(run_id, diff, "git.diff")
        return run_id

    def _lives(self, run_id: str, of_a_flow: bool, joinable: bool) -> bool:
        """Whether an open execution goes on; one that does not is closed here. That of stages, when no run is open in it, ended in peace or is
        between two stages: it goes on when there is a stage to join it."""
        if of_a_flow and is_locked(FileLock(OPEN / f"{run_id}.flow")):
            return True
        if self._is_over(run_id):
            self._forget(run_id)
            return False
        children = self._open_children(run_id)
        dead = [run_key for run_key in children if of_a_flow or not is_locked(RunDirectory(run_key).lock())]
        if not of_a_flow and (len(dead) < len(children) or (joinable and not dead)):
            for run_key in dead:
                self.client.set_terminated(children[run_key], "KILLED")
            return True
        self.close(run_id, "KILLED" if of_a_flow or dead else "FINISHED")
        return False

    def _is_over(self, run_id: str) -> bool:
        """Whether it ended, or is not of this experiment."""
        try:
            found = self.client.get_run(run_id)
        except MlflowException:
            return True
        return found.info.status != "RUNNING" or found.info.experiment_id != self.experiment_id

    def _open_children(self, run_id: str) -> dict[str, str]:
        """Ids of an execution's proxy runs that are open, by run key."""
        found = search_all(self.client, self.experiment_id, f"tags.`{PARENT}` = '{run_id}' AND attributes.status = 'RUNNING'")
        return {child.data.tags[RUN_KEY]: child.info.run_id for child in found}

    def are_closed_by_us(self, run_id: str) -> bool:
        """Whether the execution is of stages without a flow, or of the flow that this process runs."""
        return self._flow_lock is not None or (OPEN / f"{run_id}.stages").exists()

    def close(self, run_id: str, status: Ending) -> None:
        """Ends it. What is still open of its proxy runs was killed; one that is resumed later is opened again."""
        for child in self._open_children(run_id).values():
            self.client.set_terminated(child, "KILLED")
        self.client.set_terminated(run_id, status)
        self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        for path in OPEN.glob(f"{run_id}.*"):
            path.unlink()
        if self._flow_lock:
            self._flow_lock.release()


def is_locked(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
