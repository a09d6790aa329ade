"""`assay trace`: from a run, a stage, an md5, a flow run or a revision to all the others, and whether they agree.

The chain is that of `dvc.lock`, upstream and downstream of what was asked, with the runs that its stages trained and what MLflow says of them.
"""

from flows.changes import Changes
from flows.graph import in_one_sentence
from flows.trace_checks import (
    Findings,
    TracedOutput,
    check_commit_tag,
    check_git,
    check_inputs,
    check_outputs,
    check_result,
    check_tokens_tag,
)
from flows.trace_sources import Sources
from flows.trace_subject import Subject, subject
from models.frozen import Frozen
from tasks import layout
from tasks.lineage import LOCK, Commit, LockedStage, is_uncommitted, locked_stages
from tasks.run_directory import RunDirectory, RunResult
from tasks.study import Study
from tasks.tracking.check import contradictions
from tasks.tracking.child import PARENT, TOKENS_MD5
from tasks.tracking.executions import FLOW_RUN_ID


class TracedStage(Frozen):
    stage: str
    asked: bool
    ran: bool  # whether dvc.lock has it
    outputs: tuple[TracedOutput, ...]
    commit: Commit | None  # with which git got its entry in dvc.lock; None when it is not committed


class TracedRun(Frozen):
    """A proxy run, and its run in MLflow with what that names."""

    mixture: str
    run: str
    run_key: str
    status: str
    spec: str | None  # path of its spec
    mlflow_run_id: str | None
    mlflow_status: str | None
    execution_id: str | None  # MLflow's parent run
    flow_run_id: str | None  # Prefect's
    git_commit: str | None
    git_dirty: bool


class ComparedStage(Frozen):
    """A stage at a revision against now: what of its entry in `dvc.lock` is another one."""

    stage: str
    then: dict[str, str]  # md5 of outputs
    now: dict[str, str]
    changed: tuple[str, ...]  # outputs, inputs and parameters by name; empty when all is as it was


class Trace(Frozen):
    asked: str
    sentence: str
    stages: tuple[TracedStage, ...]  # upstream first
    runs: tuple[TracedRun, ...]
    compared: tuple[ComparedStage, ...]  # of a revision
    problems: tuple[str, ...]  # facts that contradict each other
    notes: tuple[str, ...]  # facts that are missing


def trace(study: Study, asked: str) -> Trace:
    """Follows `asked` through the study in the current folder, and checks what it meets.

    Raises:
        StudyError: when nothing of that name is found.
    """
    sources, found = Sources(study), Findings()
    about = subject(asked, sources)
    around = {other for stage in about.stages for other in (stage, *sources.graph.all_upstream(stage), *sources.downstream(stage))}
    chain = [address for address in sources.graph.addresses if address in around]
    with sources.graph.locked(), in_one_sentence():
        stages = _stages(sources, chain, about, found)
    runs = tuple(_run(sources, result, found) for result in _results(sources, chain, about))
    if (missing := [f"{run.mixture} {run.run}" for run in runs if not run.mlflow_run_id]) and not sources.mlflow_is_silent:
        what = missing[0] if len(missing) == 1 else f"{len(missing)} runs (first {missing[0]})"
        found.notes.append(f"Not in MLflow's experiment '{study.name}': {what}.")
    if sources.mlflow_is_silent:
        found.problems.append(f"MLflow's side could not be checked: {sources.mlflow_is_silent}")
    if is_uncommitted(str(LOCK)):
        found.notes.append(f"{LOCK} is not committed as it is: `git add {LOCK}` and a commit tie its data to the code.")
    return Trace(
        asked=asked,
        sentence=about.sentence,
        stages=stages,
        runs=runs,
        compared=_compared(about.revision, sources.entries) if about.revision else (),
        problems=tuple(found.problems),
        notes=tuple(found.notes),
    )


def _stages(sources: Sources, chain: list[str], about: Subject, found: Findings) -> tuple[TracedStage, ...]:
    ran = [address for address in chain if address in sources.entries]
    outputs = {address: check_outputs(sources, address, found) for address in ran}
    changes = Changes(sources.graph)
    for address in ran:
        check_inputs(sources, address, changes.of(address), found)
    if never := [address for address in chain if address not in sources.entries]:
        found.notes.append(f"{', '.join(never)} never ran: {LOCK} has no entry.")
    return tuple(
        TracedStage(
            stage=address,
            asked=address in about.stages and not about.revision,
            ran=address in sources.entries,
            outputs=outputs.get(address, ()),
            commit=check_git(sources, address, found) if address in sources.entries else None,
        )
        for address in chain
    )


def _results(sources: Sources, chain: list[str], about: Subject) -> list[RunResult]:
    """The runs that were asked for, or all that stages of the chain trained."""
    mixtures = {result.mixture for result in sources.results if sources.trainer(result.mixture) in chain}
    mine = [result for result in sources.results if result.mixture in mixtures]
    return mine if about.run_keys is None else [result for result in mine if result.run_key in about.run_keys]


def _run(sources: Sources, result: RunResult, found: Findings) -> TracedRun:
    name = f"{result.mixture} {result.run}"
    stage = sources.trainer(result.mixture)
    tokens_md5 = sources.entries[stage].deps.get(str(layout.TOKENS / result.recipe)) if stage in sources.entries else None
    check_result(sources, result, tokens_md5, found)
    recorded = sources.recorded_of(result)
    tags = recorded.tags if recorded else {}
    if recorded:
        for clause in contradictions(recorded, result, sources.evaluation(result)):
            found.problems.append(f"MLflow's run {name} ({recorded.run_id}) and the files disagree: {clause}.")
        check_tokens_tag(sources, name, tags.get(TOKENS_MD5), result, tokens_md5, found)
        check_commit_tag(name, tags.get("git.commit"), "git.dirty" in tags, result.run_key, found)
    spec = RunDirectory(result.run_key).spec_file
    return TracedRun(
        mixture=result.mixture,
        run=result.run,
        run_key=result.run_key,
        status=result.status,
        spec=str(spec) if spec.exists() else None,
        mlflow_run_id=recorded.run_id if recorded else None,
        mlflow_status=recorded.status if recorded else None,
        execution_id=tags.get(PARENT),
        flow_run_id=tags.get(FLOW_RUN_ID),
        git_commit=tags.get("git.commit"),
        git_dirty="git.dirty" in tags,
    )


def _compared(revision: str, now: dict[str, LockedStage]) -> tuple[ComparedStage, ...]:
    then, nothing = locked_stages(revision), LockedStage(cmd=None, deps={}, params={}, outs={})
    found = []
    for stage in [*then, *(stage for stage in now if stage not in then)]:
        old, new = then.get(stage, nothing), now.get(stage, nothing)
        changed = [name for kind in ("outs", "deps", "params") for name in _different(getattr(old, kind), getattr(new, kind))]
        found.append(ComparedStage(stage=stage, then=old.outs, now=new.outs, changed=(*changed, *(["its command"] if old.cmd != new.cmd else []))))
    return tuple(found)


def _different(old: dict[str, object], new: dict[str, object]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]
