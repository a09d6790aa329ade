"""All that can be followed: stages and their lock, its history in git, results of runs, MLflow. Read once."""

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.folders import Files, files_in_cache
from flows.graph import StudyGraph
from models.frozen import StudyError
from tasks import layout
from tasks.evaluation_table import EVALUATION_SCHEMA
from tasks.lineage import LOCK, Commit, LockedStage, commits_of, locked_stages
from tasks.run_directory import RunResult
from tasks.run_states import read_result
from tasks.study import Study
from tasks.swarm_states import swarm_results
from tasks.tracking.child import RESULT_MD5, RUN_KEY, md5_of
from tasks.tracking.reader import RecordedRun, recorded_runs

LOCKS_READ = 30  # versions of dvc.lock in git, newest first


class Sources:
    """Of the study in the current folder."""

    def __init__(self, study: Study):
        self.study, self.graph, self.entries = study, StudyGraph(), locked_stages()
        self.mlflow_is_silent: str | None = None  # why it could not be asked
        self._evaluations: dict[str, list[dict[str, Any]]] = {}  # rows by mixture

    @cached_property
    def history(self) -> list[tuple[Commit, dict[str, LockedStage]]]:
        """Versions of `dvc.lock` by commit, newest first."""
        return [(commit, locked_stages(commit.revision)) for commit in commits_of(str(LOCK), LOCKS_READ)]

    @cached_property
    def results(self) -> list[RunResult]:
        """Of all runs on disk, by mixture; those of swarms after the others."""
        found = [read_result(path.parent.parent.name, path.parent.name) for path in sorted(layout.RUNS.glob("*/*/result.json"))]
        with suppress(StudyError):  # of a study that could not be trained any more
            found += [result for name in self.study.swarms for result in swarm_results(self.study, name)]
        return [result for result in found if result]

    @cached_property
    def recorded(self) -> list[RecordedRun]:
        """The runs of MLflow's experiment; none when MLflow does not answer."""
        try:
            return recorded_runs(self.study.name)
        except StudyError as error:
            self.mlflow_is_silent = str(error)
            return []

    @cached_property
    def _keys_by_result_md5(self) -> dict[str, str]:
        return {md5_of(result.model_dump(mode="json")): result.run_key for result in self.results}

    def key_of(self, recorded: RecordedRun) -> str | None:
        """The run key of what an MLflow run records: that of the result whose md5 it names, whatever its tag says of the key."""
        return self._keys_by_result_md5.get(recorded.tags.get(RESULT_MD5, ""), recorded.tags.get(RUN_KEY))

    def recorded_of(self, result: RunResult) -> RecordedRun | None:
        """The newest MLflow run of a result."""
        name = f"{result.mixture} {result.run}"
        return next((run for run in reversed(self.recorded) if run.name == name and self.key_of(run) == result.run_key), None)

    def evaluation(self, result: RunResult) -> list[dict[str, Any]]:
        """A run's rows of the evaluation table, as they stand there; none when the table is missing or broken."""
        if result.mixture not in self._evaluations:
            path = layout.EVALUATIONS / f"{result.mixture}.parquet"
            try:
                rows = pq.read_table(path, columns=EVALUATION_SCHEMA.names).to_pylist()
            except (OSError, pa.ArrowException):
                rows = []
            self._evaluations[result.mixture] = rows
        return [row for row in self._evaluations[result.mixture] if row["run"] == result.run]

    def trainer(self, mixture: str) -> str | None:
        """The stage that trains the runs of a mixture, or of a swarm's mixture, which is named `<swarm>/<index>`."""
        path = layout.SWARMS / mixture.split("/")[0] if "/" in mixture else layout.RUNS / mixture
        return next((address for address in self.graph.addresses for out in self.graph.stage(address).outs if Path(str(out)) == path), None)

    def files(self, md5: str) -> Files:
        """Of a version of a folder, as far as DVC's cache knows."""
        return files_in_cache(self.graph.repo, md5) or {}

    def downstream(self, address: str) -> set[str]:
        return {after for after in self.graph.addresses if address in self.graph.all_upstream(after)}
