"""What `assay trace X` is asked: X may be a stage, a run key, an md5, an MLflow run, a Prefect flow run, or a git revision."""

import re
from collections.abc import Callable
from typing import NamedTuple

from flows.changes import listed
from flows.trace_sources import LOCKS_READ, Sources
from models.frozen import StudyError, nearest
from tasks import layout
from tasks.lineage import LOCK, commit_of
from tasks.run_directory import RunResult
from tasks.tracking.child import PARENT, RUN_KEY, TOKENS_MD5
from tasks.tracking.executions import FLOW_RUN_ID
from tasks.tracking.reader import RecordedRun, recorded_run

SHORTEST = 6  # digits of a hash that stand for it
HASH = re.compile(r"[0-9a-f]{6,64}(\.dir)?")


class Subject(NamedTuple):
    """What was meant, in a sentence, and where it stands in the study."""

    sentence: str
    stages: frozenset[str]
    run_keys: frozenset[str] | None = None  # only these runs; None when it is about all of its stages' runs
    revision: str | None = None


def subject(asked: str, sources: Sources) -> Subject:
    """The first meaning that fits.

    Raises:
        StudyError: when nothing fits, naming what was searched.
    """
    finders: list[Callable[[str, Sources], Subject | None]] = [_stage]
    if HASH.fullmatch(asked):
        finders += [_run, _locked, _inside_a_folder]
    finders += [_mlflow_run, _flow_run, _revision]
    if HASH.fullmatch(asked):
        finders += [_once_locked]
    for find in finders:
        if found := find(asked, sources):
            return found
    silent = f" (MLflow was not: {sources.mlflow_is_silent})" if sources.mlflow_is_silent else ""
    raise StudyError(
        f"There is no '{asked}'{nearest(asked, sources.graph.addresses)}: searched were the stages of dvc.yaml, the run keys and md5s of results, of "
        f"{LOCK} (with the files inside folders, and its last {LOCKS_READ} versions in git), MLflow's runs of '{sources.study.name}' with their "
        f"Prefect flow runs, and git's revisions{silent}."
    )


def _stage(asked: str, sources: Sources) -> Subject | None:
    if not (addresses := sources.graph.named(asked)):
        return None
    what = f"stage {asked}" if addresses == [asked] else f"stages {', '.join(addresses)}"
    return Subject(f"{asked} is {what}.", frozenset(addresses))


def _run(asked: str, sources: Sources) -> Subject | None:
    results = [result for result in sources.results if result.run_key.startswith(asked)]
    return _of_runs(f"{results[0].run_key} is the key of run", results, sources) if results else None


def _of_runs(begin: str, results: list[RunResult], sources: Sources) -> Subject:
    names = ", ".join(f"{result.mixture} {result.run}" for result in results)
    stages = frozenset(stage for result in results if (stage := sources.trainer(result.mixture)))
    return Subject(f"{begin} {names}.", stages, frozenset(result.run_key for result in results))


def _locked(asked: str, sources: Sources) -> Subject | None:
    """An md5 of an input or output in `dvc.lock`."""
    for kind, verb in (("outs", "output"), ("deps", "input")):
        found = [
            (address, path, md5) for address, entry in sources.entries.items() for path, md5 in getattr(entry, kind).items() if md5.startswith(asked)
        ]
        if found:
            stages = list(dict.fromkeys(address for address, _, _ in found))
            paths = ", ".join(dict.fromkeys(path for _, path, _ in found))
            return Subject(f"{found[0][2]} is the md5 of {paths}, {verb} of {listed(stages)}.", _known(stages, sources))
    return None


def _inside_a_folder(asked: str, sources: Sources) -> Subject | None:
    """An md5 of a file in a folder that a stage wrote."""
    found = [
        (address, f"{path}/{name}", file)
        for address, entry in sources.entries.items()
        for path, md5 in entry.outs.items()
        for name, file in sources.files(md5).items()
        if name and file.startswith(asked)
    ]
    if not found:
        return None
    stages = list(dict.fromkeys(address for address, _, _ in found))
    paths = listed([path for _, path, _ in found])
    md5 = found[0][2]
    runs = frozenset(result.run_key for result in sources.results if _is_of(result, md5, [path for _, path, _ in found]))
    return Subject(f"{md5} is the md5 of {paths}, which {listed(stages)} wrote.", _known(stages, sources), runs or None)


def _is_of(result: RunResult, md5: str, paths: list[str]) -> bool:
    """Whether a file is a run's own, or tokens that it read."""
    own = f"{layout.RUNS / result.mixture / result.run}/"
    return md5 in result.tokens_md5_by_domain.values() or any(path.startswith(own) for path in paths)


def _mlflow_run(asked: str, sources: Sources) -> Subject | None:
    matching = [run for run in sources.recorded if len(asked) >= SHORTEST and run.run_id.startswith(asked)]
    run = matching[0] if matching else recorded_run(asked) if re.fullmatch("[0-9a-f]{32}", asked) and not sources.mlflow_is_silent else None
    if run is None:
        return None
    if RUN_KEY in run.tags:
        gone = ", which is in its bin: it was recorded anew" if run.deleted else ""
        found = _of_recorded([run], sources)
        return found._replace(sentence=f"{run.run_id} is MLflow's run '{run.name}'{gone}, with key {run.tags[RUN_KEY]}.")
    children = [child for child in sources.recorded if child.tags.get(PARENT) == run.run_id]
    found = _of_recorded(children, sources)
    return found._replace(sentence=f"{run.run_id} is MLflow's run '{run.name}', an execution with {len(children)} runs.")


def _flow_run(asked: str, sources: Sources) -> Subject | None:
    runs = [run for run in sources.recorded if len(asked) >= SHORTEST and run.tags.get(FLOW_RUN_ID, "").startswith(asked)]
    if not runs:
        return None
    found = _of_recorded([run for run in runs if RUN_KEY in run.tags], sources)
    count = len(found.run_keys or ())
    return found._replace(sentence=f"{runs[0].tags[FLOW_RUN_ID]} is a flow run of Prefect, which trained or evaluated {count} runs.")


def _of_recorded(runs: list[RecordedRun], sources: Sources) -> Subject:
    """The proxy runs of MLflow's runs."""
    keys = frozenset(key for run in runs if (key := sources.key_of(run)))
    mixtures = {run.tags["mixture"] for run in runs if "mixture" in run.tags}
    stages = frozenset(stage for mixture in mixtures if (stage := sources.trainer(mixture)))
    return Subject("", stages or frozenset(sources.graph.addresses), keys)


def _revision(asked: str, sources: Sources) -> Subject | None:
    if not (commit := commit_of(asked)):
        return None
    keys = {run.tags[RUN_KEY] for run in sources.recorded if run.tags.get("git.commit") == commit and RUN_KEY in run.tags}
    named = f"{asked} is commit {commit}" if not commit.startswith(asked) else f"{commit} is a commit"
    return Subject(f"{named}; {len(keys)} runs began at it.", frozenset(sources.graph.addresses), None, commit)


def _once_locked(asked: str, sources: Sources) -> Subject | None:
    """An md5 of an earlier version of `dvc.lock`, or that MLflow's runs name."""
    for commit, entries in sources.history:
        for address, entry in entries.items():
            for path, md5 in entry.outs.items():
                if md5.startswith(asked):
                    now = sources.entries[address].outs.get(path, "nothing") if address in sources.entries else "nothing"
                    keys = _users(md5, sources)
                    sentence = f"{md5} was the md5 of {path}, output of {address}, at commit {commit.short} ({commit.date}); now it is {now}."
                    return Subject(sentence, _known([address], sources), keys or None)
    users = [run for run in sources.recorded if run.tags.get(TOKENS_MD5, "").startswith(asked)]
    if not users:
        return None
    return _of_recorded(users, sources)._replace(sentence=f"{users[0].tags[TOKENS_MD5]} is the md5 of tokens that {len(users)} runs of MLflow read.")


def _users(md5: str, sources: Sources) -> frozenset[str]:
    return frozenset(run.tags[RUN_KEY] for run in sources.recorded if run.tags.get(TOKENS_MD5) == md5 and RUN_KEY in run.tags)


def _known(stages: list[str], sources: Sources) -> frozenset[str]:
    """Those that dvc.yaml still has."""
    return frozenset(stages) & frozenset(sources.graph.addresses)
