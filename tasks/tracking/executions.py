"""The parent run of an execution: begun once, joined by its stages, and closed; if not by itself, then by the next one that begins in its folder.

A flow's execution ends with the flow, which holds a lock for as long as it lives: whether it died is a question to the kernel. That of `dvc repro`,
whose stages are processes of their own, goes on until the report, or until it turns out that a run of it is open which nobody trains.
"""

import socket
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Run

from tasks import layout
from tasks.lineage import git_diff
from tasks.run_directory import RunDirectory
from tasks.tracking.child import KIND, PARENT, RUN_KEY
from tasks.tracking.store import search_all

FLOW_RUN_ID = "prefect.flow_run_id"
FOLDER = "assay.folder"
Ending = Literal["FINISHED", "FAILED", "KILLED"]


class Executions:
    """Those of this folder in one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str):
        self.client, self.experiment_id = client, experiment_id
        self.folder = f"{socket.gethostname()}:{Path.cwd()}"
        self._lock: FileLock | None = None  # of the flow that this process runs
        self.is_closed_by_us = False

    def begin_or_join(self, name: str, tags: dict[str, str], of_a_flow: bool) -> str:
        """The id of an execution's run: a flow begins one, a stage joins the one that is open. What nobody works at any more is closed."""
        found = search_all(self.client, self.experiment_id, f"tags.`{KIND}` = 'study' AND attributes.status = 'RUNNING'")
        living = [run for run in found if run.data.tags.get(FOLDER) == self.folder and self._lives(run, joinable=not of_a_flow)]
        if living and not of_a_flow:
            self.is_closed_by_us = FLOW_RUN_ID not in living[0].data.tags
            return living[0].info.run_id
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags=tags | {KIND: "study", FOLDER: self.folder}).info.run_id
        self.is_closed_by_us = True
        if of_a_flow:
            self._lock = flow_lock(run_id)
            self._lock.acquire()
        self.client.log_text(run_id, layout.PARAMS.read_text(encoding="utf-8"), "params.yaml")
        if diff := git_diff():
            self.client.log_text(run_id, diff, "git.diff")
        return run_id

    def _lives(self, execution: Run, joinable: bool) -> bool:
        """Whether an open execution goes on; one that does not is closed here. That of stages, when no run is open in it, ended in peace or is
        between two stages: it goes on when there is a stage to join it."""
        run_id, of_a_flow = execution.info.run_id, FLOW_RUN_ID in execution.data.tags
        if of_a_flow and is_locked(flow_lock(run_id)):
            return True
        children = self._open_children(run_id)
        dead = [run_key for run_key in children if of_a_flow or not is_locked(RunDirectory(run_key).lock())]
        if not of_a_flow and (len(dead) < len(children) or (joinable and not dead)):
            for run_key in dead:
                self.client.set_terminated(children[run_key], "KILLED")
            return True
        self.close(run_id, "KILLED" if of_a_flow or dead else "FINISHED")
        return False

    def _open_children(self, run_id: str) -> dict[str, str]:
        """Ids of an execution's proxy runs that are open, by run key."""
        found = search_all(self.client, self.experiment_id, f"tags.`{PARENT}` = '{run_id}' AND attributes.status = 'RUNNING'")
        return {child.data.tags[RUN_KEY]: child.info.run_id for child in found}

    def close(self, run_id: str, status: Ending) -> None:
        """Ends it. What is still open of its proxy runs was killed; one that is resumed later is opened again."""
        for child in self._open_children(run_id).values():
            self.client.set_terminated(child, "KILLED")
        self.client.set_terminated(run_id, status)
        Path(flow_lock(run_id).lock_file).unlink(missing_ok=True)
        if self._lock:
            self._lock.release()


def flow_lock(run_id: str) -> FileLock:
    """Held by the flow whose execution this is."""
    return FileLock(layout.MLFLOW / f"{run_id}.lock", thread_local=False)


def is_locked(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
