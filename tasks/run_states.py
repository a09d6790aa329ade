"""Where every run of a study stands, from the facts: what its spec would be now, its directory, its result, its evaluation, the locks that are held.

A run is done when it can be used: trained with the spec that the study asks for now (the data's md5s are part of it) up to its last step, and
evaluated by the version that held-out documents have now.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from filelock import BaseFileLock, Timeout
from pydantic import ValidationError

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.atomic import read_json
from tasks.benchmarks.items import heldout_documents
from tasks.benchmarks.version import text_version
from tasks.documents import shard_paths
from tasks.pretrain import PlannedRun, planned_runs
from tasks.run_directory import RunDirectory, RunResult, RunSpec
from tasks.run_gate import Evaluation, evaluations_of, identity, loss_weights, not_comparable, unfinished
from tasks.study import Study
from tasks.tokenize_corpus import MANIFEST, load_tokens
from tasks.training_clock import TrainingClock, tokens_seen


class State(StrEnum):
    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    STALE = "stale"  # there is a result, of something else than what is asked for now
    WAITING = "waiting"  # for what comes before it, or to be run


class RunStanding(Frozen):
    """One run of the ladder on one mixture. `sentence` says why it is not done."""

    mixture: str
    run: str
    run_key: str | None  # None as long as its tokens are not there
    state: State
    sentence: str | None = None
    tokens: int = 0  # seen in training
    target_tokens: int | None = None
    seconds_left: float | None = None  # of a run that trains, or waits in a launch that does; None when that can't be said


def run_standings(study: Study, outdated: Mapping[str, str]) -> list[RunStanding]:
    """Of all runs, by mixture, as in the ladder. `outdated`: the recipes whose tokens on disk are not what the study asks for, and why."""
    versions = heldout_versions(study)
    return [standing for mixture in study.mixtures for standing in _of_mixture(study, mixture, versions, outdated)]


def heldout_versions(study: Study) -> dict[str, str | None]:
    """By domain of the loss: the version of an evaluation on the held-out documents that are there now. Empty when there are none."""
    if not shard_paths(layout.HELDOUT):
        return {}
    texts: dict[str, list[tuple[str, str]]] = {}
    for document in heldout_documents():
        texts.setdefault(document.domain, []).append((document.id, document.text))
    mean = f"-mean-of-{study.evaluation.average_checkpoints}" if study.evaluation.average_checkpoints > 1 else ""
    context = study.training.sequence_length
    return {domain: text_version(texts.get(domain, []), context) + mean for domain in loss_weights(study, set(texts))}


def _of_mixture(study: Study, mixture: str, versions: Mapping[str, str | None], outdated: Mapping[str, str]) -> Iterator[RunStanding]:
    recipe = study.mixtures[mixture].recipe
    tokens = layout.TOKENS / recipe
    state, sentence = State.WAITING, f"recipe {recipe} is not tokenized yet"
    if (tokens / MANIFEST).exists():
        try:
            runs = planned_runs(study, mixture, load_tokens(tokens))
            yield from _of_runs(runs, study, mixture, versions, outdated.get(recipe))
            return
        except StudyError as error:
            state, sentence = State.FAILED, str(error)
    for rung in study.ladder.runs():
        yield RunStanding(mixture=mixture, run=rung.name, run_key=None, state=state, sentence=sentence)


def _of_runs(runs: list[PlannedRun], study: Study, mixture: str, versions: Mapping[str, str | None], outdated: str | None) -> Iterator[RunStanding]:
    clock = TrainingClock(mixture, runs)
    evaluated = (layout.EVALUATIONS / f"{mixture}.parquet").exists()
    evaluations = evaluations_of(mixture) if evaluated else {}
    for run in runs:
        published = read_result(mixture, run.rung.name)
        mine = published if published and published.run_key == run.spec.key else None
        known = {"mixture": mixture, "run": run.rung.name, "run_key": run.spec.key, "target_tokens": run.plan.tokens_seen}
        if mine is None and is_held(run.directory.lock()) and not run.directory.is_finished:
            seen, seconds = tokens_seen(run), clock.seconds_left(run)
            state, told = (
                (State.RUNNING, f"trains, {seen / run.plan.tokens_seen:.0%} done") if clock.trains(run) else (State.WAITING, "its turn comes")
            )
            yield RunStanding(**known, state=state, sentence=told, tokens=seen, seconds_left=seconds)
        elif mine is None:
            state, sentence = _not_published(run, published, outdated)
            yield RunStanding(**known, state=state, sentence=sentence, tokens=tokens_seen(run))
        else:
            by_domain = evaluations.get(identity(mine), {})
            state, sentence = _usable(run, mine, by_domain, versions, outdated)
            yield RunStanding(**known, state=state, sentence=sentence, tokens=mine.tokens_seen)


def _not_published(run: PlannedRun, published: RunResult | None, outdated: str | None) -> tuple[State, str]:
    """Of a run that nobody trains, and whose result under its spec is not in results/."""
    if run.directory.is_finished:
        return State.WAITING, "it is trained; its result is published with the others of its mixture"
    if seen := tokens_seen(run):
        return State.WAITING, f"it stopped after {seen:,} of {run.plan.tokens_seen:,} tokens, and goes on from its last checkpoint"
    if published:
        return State.STALE, out_of_date(outdated) or f"it was trained with another spec: {_changed_fields(published.run_key, run.spec)}"
    return State.WAITING, "it is not trained yet"


def _usable(
    run: PlannedRun, result: RunResult, by_domain: Mapping[str, list[Evaluation]], versions: Mapping[str, str | None], outdated: str | None
) -> tuple[State, str | None]:
    if result.status != "completed":
        return State.FAILED, unfinished(result)
    if result.steps != run.plan.steps:
        return State.STALE, f"it has {result.steps} of {run.plan.steps} steps"
    if result.tokens_md5_by_domain != run.spec.tokens_md5_by_domain:
        return State.STALE, "its result names other tokens than its spec"
    if sentence := out_of_date(outdated):
        return State.STALE, sentence
    if not by_domain:
        return State.WAITING, "it is trained, and not evaluated yet"
    if not versions:
        return State.STALE, f"there are no held-out documents in {layout.HELDOUT} that its evaluation could be of"
    reason = not_comparable(result, by_domain, versions)
    return (State.STALE, reason) if reason else (State.DONE, None)


def out_of_date(reason: str | None) -> str | None:
    """Of a run's tokens, in words."""
    return f"its tokens are out of date: {reason}" if reason else None


def read_result(mixture: str, run: str) -> RunResult | None:
    """What `results/runs` holds of a run; None when there is nothing, or something else."""
    try:
        return RunResult.model_validate_json((layout.RUNS / mixture / run / "result.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _changed_fields(old_key: str, spec: RunSpec) -> str:
    """How a run's spec differs from the one that it was trained with."""
    try:
        old = read_json(RunDirectory(old_key).spec_file)
    except (OSError, ValueError):
        return f"key {old_key}, now {spec.key}"
    now = spec.model_dump(mode="json")
    names = {"tokens_md5_by_domain": "the tokens", "code_md5": "the training code", "weights_by_domain": "the weights"}
    return ", ".join(names.get(field, field) for field in now if now[field] != old.get(field)) or f"key {old_key}, now {spec.key}"


def is_held(lock: BaseFileLock) -> bool:
    """Whether a process holds a lock. The system frees the locks of one that died."""
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
