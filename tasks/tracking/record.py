"""A study's record as a stage or a flow writes it: the execution's parent run, and in it the proxy runs."""

import logging
import os
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # pyright: ignore[reportAttributeAccessIssue] (MLflow makes it at import)
from mlflow.entities import DatasetInput, InputTag

from models.frozen import StudyError
from tasks import layout
from tasks.lineage import git_commit, git_diff, locked_md5s
from tasks.run_directory import RunResult
from tasks.study import Study
from tasks.tokenize_corpus import MANIFEST, load_manifest
from tasks.tracking.child import KIND, PARENT, RESULT_MD5, RUN_KEY, TOKENS_MD5, ChildRun, md5_of
from tasks.tracking.executions import FLOW_RUN_ID, Ending, Executions
from tasks.tracking.store import experiment_of, lock_path, refusals_in_words, search_all, tracking_uri

Identity = tuple[str, str, str]  # run key, MLflow's run name, recipe: two mixtures, or two names of one, may train the same run
log = logging.getLogger(__name__)


class Record:
    """A study's experiment, and in it the run of this execution. As a context it closes, in the end, what an exception left open."""

    def __init__(self, study: Study, flow_run_id: str | None = None):
        self.study, self.uri = study, tracking_uri()
        self.flow_run_id = flow_run_id or os.environ.get("ASSAY_FLOW_RUN_ID")
        self.children: dict[Identity, ChildRun] = {}
        self._mixtures_found: set[str] = set()
        with refusals_in_words(self.uri), FileLock(lock_path()):
            self.client = MlflowClient(self.uri)
            self.experiment_id = experiment_of(study, self.client, self.uri)
            self._executions = Executions(self.client, self.experiment_id)
            self.parent_run_id = os.environ.get("ASSAY_PARENT_RUN_ID") or self._executions.begin_or_join(
                f"{study.name} study", self._provenance, of_a_flow=flow_run_id is not None
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    @cached_property
    def _provenance(self) -> dict[str, str]:
        """Where a run comes from, as tags. A clean checkout has no `git.dirty`."""
        tags = {"git.commit": git_commit(), "git.dirty": "true" if git_diff() else None, FLOW_RUN_ID: self.flow_run_id}
        return {name: value for name, value in tags.items() if value}

    def follow(self, run_key: str, name: str, mixture: str, recipe: str, rows: list[dict[str, Any]]) -> ChildRun:
        """Adds a proxy run's curve, as far as it has come, to its MLflow run, which is made when there is none yet."""
        with refusals_in_words(self.uri):
            child = self._child((run_key, f"{mixture} {name}", recipe), mixture)
            if not child.is_complete:  # else it is trained again for its snapshots: to the same curve
                self._go_on_with(child, rows)
            return child

    def finish(self, result: RunResult, rows: list[dict[str, Any]]) -> ChildRun:
        """Completes and closes the MLflow run of a finished proxy run, however much of it was recorded before. When another result of it is recorded,
        as of a training on other hardware, the run is recorded anew."""
        with refusals_in_words(self.uri):
            child = self._child(identity_of(result), result.mixture)
            if child.tags.get(RESULT_MD5) == md5_of(result.model_dump(mode="json")):
                child.close_after(result)  # unless it is: a process may have been killed just before
                return child
            return self.record_anew(child, result, rows) if child.is_complete else self._complete(child, result, rows)

    def record_anew(self, child: ChildRun, result: RunResult, rows: list[dict[str, Any]]) -> ChildRun:
        """Moves what is recorded to MLflow's bin (its points can't be changed), and records the run in another one."""
        with refusals_in_words(self.uri):
            self.client.delete_run(child.run_id)
            made = self._make(identity_of(result), result.mixture, {"assay.supersedes": child.run_id})
            self.children[identity_of(result)] = made
            return self._complete(made, result, rows)

    def _go_on_with(self, child: ChildRun, rows: list[dict[str, Any]]) -> None:
        child.open_in(self.parent_run_id, self._provenance)
        if TOKENS_MD5 not in child.tags:
            self._name_tokens(child)
        child.log_curve(rows)

    def _complete(self, child: ChildRun, result: RunResult, rows: list[dict[str, Any]]) -> ChildRun:
        self._go_on_with(child, rows)
        child.log_result(result, self._domains(result.recipe))
        return child

    def _domains(self, recipe: str) -> set[str]:
        manifest = layout.TOKENS / recipe / MANIFEST
        return (self.study.declared_domains or set()) | (load_manifest(manifest.parent).domains.keys() if manifest.exists() else set())

    def _child(self, identity: Identity, mixture: str) -> ChildRun:
        """The MLflow run of a proxy run. Those of one mixture are searched for together."""
        if mixture not in self._mixtures_found:
            found = search_all(self.client, self.experiment_id, f"tags.mixture = '{mixture}' AND tags.`{KIND}` = 'run'")
            for run in sorted(found, key=lambda run: (run.info.start_time, run.info.run_id), reverse=True):  # the oldest counts
                tags = run.data.tags
                self.children[tags[RUN_KEY], str(run.info.run_name), tags["recipe"]] = ChildRun(self.client, run)
            self._mixtures_found.add(mixture)
        if identity not in self.children:
            self.children[identity] = self._make(identity, mixture)
        return self.children[identity]

    def _make(self, identity: Identity, mixture: str, more: dict[str, str] | None = None) -> ChildRun:
        """An MLflow run. Of two that are made for the same proxy run at the same moment, in folders that share a server, the older one stays."""
        run_key, name, recipe = identity
        tags = {KIND: "run", RUN_KEY: run_key, PARENT: self.parent_run_id, "mixture": mixture, "recipe": recipe} | (more or {})
        made = self.client.create_run(self.experiment_id, run_name=name, tags=self._provenance | tags)
        same = search_all(self.client, self.experiment_id, f"tags.`{RUN_KEY}` = '{run_key}' AND tags.recipe = '{recipe}'")
        first = min((run for run in same if run.info.run_name == name), key=lambda run: (run.info.start_time, run.info.run_id))
        if first.info.run_id != made.info.run_id:
            self.client.delete_run(made.info.run_id)
            return ChildRun(self.client, first)
        return ChildRun(self.client, made)

    def _name_tokens(self, child: ChildRun) -> None:
        """Names the data version: the tokens of the recipe, by the md5 that `dvc.lock` holds."""
        path = str(layout.TOKENS / child.tags["recipe"])
        if md5 := locked_md5s().get(path):
            dataset = MetaDataset(LocalArtifactDatasetSource(path), name=path, digest=md5.removesuffix(".dir"))
            self.client.log_inputs(child.run_id, [DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])])
            child.tag(TOKENS_MD5, md5)

    def close(self, status: Ending) -> None:
        """Ends what this process has open: its proxy runs and, unless it is another process', the execution. When MLflow does not answer, the next
        execution closes them: an execution is not lost for that."""
        try:
            with refusals_in_words(self.uri):
                for child in self.children.values():
                    if child.is_open_here:
                        child.close(status)
                if self._executions.is_closed_by_us:
                    self._executions.close(self.parent_run_id, status)
        except StudyError as error:
            log.warning("%s The next execution closes what is open.", error)


def identity_of(result: RunResult) -> Identity:
    return result.run_key, f"{result.mixture} {result.run}", result.recipe
