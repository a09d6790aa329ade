"""Where every run of a swarm stands, by the same facts as `tasks/run_states.py`: a swarm's results are rows of its table."""

from collections.abc import Iterator, Mapping
from typing import Any

from pyarrow import csv

from models.frozen import StudyError
from tasks import layout
from tasks.launches import LAUNCHES
from tasks.pretrain import PlannedRun, result_of
from tasks.run_directory import RunResult
from tasks.run_states import RunStanding, State, is_held, out_of_date
from tasks.study import Study
from tasks.swarm import planned_members
from tasks.tokenize_corpus import MANIFEST, load_tokens
from tasks.training_clock import modified, tokens_seen


def swarm_standings(study: Study, outdated: Mapping[str, str]) -> list[RunStanding]:
    """Of all runs of all swarms. `outdated`: the recipes whose tokens on disk are not what the study asks for, and why."""
    return [standing for name in study.swarms for standing in _of_swarm(study, name, outdated)]


def _of_swarm(study: Study, name: str, outdated: Mapping[str, str]) -> Iterator[RunStanding]:
    swarm = study.swarms[name]
    state, sentence = State.WAITING, f"recipe {swarm.recipe} is not tokenized yet"
    if (layout.TOKENS / swarm.recipe / MANIFEST).exists():
        try:
            yield from _of_members(planned_members(study, name, load_tokens(layout.TOKENS / swarm.recipe)), name, outdated.get(swarm.recipe))
            return
        except StudyError as error:
            state, sentence = State.FAILED, str(error)
    for run in ["all of its file"] if swarm.mixtures_file else map(str, range(swarm.mixtures)):
        yield RunStanding(mixture=f"swarm {name}", run=run, run_key=None, state=state, sentence=sentence)


def _of_members(members: list[PlannedRun], name: str, outdated: str | None) -> Iterator[RunStanding]:
    rows = swarm_rows(name)
    trains = is_held(members[0].directory.lock())  # one process holds the locks of all
    left = _seconds_left(members, name) if trains else None
    for index, run in enumerate(members):
        row = rows.get(index)
        seen, target = tokens_seen(run), run.plan.tokens_seen
        known = {"mixture": f"swarm {name}", "run": str(index), "run_key": run.spec.key, "target_tokens": target, "tokens": seen}
        if row and row["run_key"] == run.spec.key:
            state, sentence = _published(row, target, outdated)
            yield RunStanding(**known, state=state, sentence=sentence)
        elif run.directory.is_finished:
            yield RunStanding(**known, state=State.WAITING, sentence="it is trained; its result is published with the others of its swarm")
        elif trains:
            yield RunStanding(**known, state=State.RUNNING, sentence="trains together with the others", seconds_left=left)
        elif row:
            yield RunStanding(**known, state=State.STALE, sentence=out_of_date(outdated) or "another mixture, or with another spec, was trained")
        else:
            yield RunStanding(**known, state=State.WAITING, sentence="it stopped on its way, and goes on later" if seen else "it is not trained yet")


def _published(row: Mapping[str, Any], target: int, outdated: str | None) -> tuple[State, str | None]:
    if row["status"] != "completed":
        return State.FAILED, f"it {row['status']} after {row['tokens_seen']:,} of {target:,} tokens"
    if row["tokens_seen"] != target:
        return State.STALE, f"it has {row['tokens_seen']:,} of {target:,} tokens"
    return (State.STALE, out_of_date(outdated)) if outdated else (State.DONE, None)


def swarm_rows(name: str) -> dict[int, dict[str, Any]]:
    """The table of a swarm's runs, by their place among the samples; empty when there is none."""
    path = layout.SWARMS / name / "runs.csv"
    return {row[layout.INDEX]: row for row in csv.read_csv(path).to_pylist()} if path.exists() else {}


def swarm_results(study: Study, name: str) -> list[RunResult]:
    """The results of a swarm's runs that its table has, as far as they are of what the study asks for now."""
    recipe, rows = study.swarms[name].recipe, swarm_rows(name)
    if not rows or not (layout.TOKENS / recipe / MANIFEST).exists():
        return []
    members = planned_members(study, name, load_tokens(layout.TOKENS / recipe))
    published = [(index, run) for index, run in enumerate(members) if index in rows and rows[index]["run_key"] == run.spec.key]
    return [result_of(run, f"{name}/{index}", recipe) for index, run in published if run.directory.is_finished]


def _seconds_left(members: list[PlannedRun], name: str) -> float | None:
    """By all tokens that were trained since the launch; None before the first ones. Of a swarm that was resumed, too few."""
    launched = modified(LAUNCHES / f"swarm-{name}.json")
    trained = [run for run in members if modified(run.directory.metrics_file) > launched]
    seconds = max((modified(run.directory.metrics_file) for run in trained), default=launched) - launched
    done = sum(tokens_seen(run) for run in trained)
    left = sum(run.plan.tokens_seen - tokens_seen(run) for run in members if not run.directory.is_finished)
    return left * seconds / done if done and seconds > 0 else None
