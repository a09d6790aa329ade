"""What `assay trace` prints without --json."""

from collections.abc import Iterator

from rich import box
from rich.markup import escape
from rich.table import Table

from flows.trace import ComparedStage, Trace, TracedRun, TracedStage
from tasks import layout

ON_DISK = {"same": "[green]same[/]", "changed": "[red]changed[/]", "missing": "[yellow]missing[/]"}
MOST_RUNS = 16  # that are shown one by one
DIGITS = 10  # of a hash: enough to ask for it again


def trace_page(trace: Trace) -> Iterator[Table | str]:
    yield f"[bold]{escape(trace.sentence)}[/]"
    if trace.compared:
        yield from _comparison(trace.compared)
    yield _stages(trace.stages)
    if trace.runs:
        yield _runs(trace.runs) if len(trace.runs) <= MOST_RUNS else _mixtures(trace.runs)
        yield from map(escape, _executions(trace.runs))
    for note in trace.notes:
        yield f"[yellow]·[/] {escape(note)}"
    for problem in trace.problems:
        yield f"[red]✗[/] {escape(problem)}"
    if not trace.problems:
        outputs = sum(output.on_disk == "same" for stage in trace.stages for output in stage.outputs)
        recorded = sum(run.mlflow_run_id is not None for run in trace.runs)
        yield f"[green]✓[/] {outputs} outputs on disk, their lock, {len(trace.runs)} results and {recorded} runs in MLflow agree."


def _stages(stages: tuple[TracedStage, ...]) -> Table:
    table = Table("", "stage", box=box.SIMPLE, pad_edge=False)
    table.add_column("output", overflow="fold")
    for column in ("md5", "on disk", "dvc.lock committed"):
        table.add_column(column, no_wrap=True)
    for stage in stages:
        commit = f"{stage.commit.short}  {stage.commit.date}" if stage.commit else "[yellow]no[/]" if stage.ran else ""
        name = f"[bold]{escape(stage.stage)}[/]" if stage.asked else escape(stage.stage)
        arrow = "[bold]→[/]" if stage.asked else ""
        if not stage.ran:
            table.add_row(arrow, name, "[yellow]never ran[/]")
        for number, output in enumerate(stage.outputs):
            first = (arrow, name) if not number else ("", "")
            table.add_row(*first, escape(output.path), output.md5[:DIGITS], ON_DISK[output.on_disk], commit if not number else "")
    return table


def _runs(runs: tuple[TracedRun, ...]) -> Table:
    table = Table("run", "key", "MLflow run", "status", "code", box=box.SIMPLE, pad_edge=False)
    for run in runs:
        status = run.mlflow_status or f"{run.status} on disk"
        table.add_row(escape(f"{run.mixture} {run.run}"), run.run_key, run.mlflow_run_id or "[yellow]none[/]", status, _code(run))
    return table


def _mixtures(runs: tuple[TracedRun, ...]) -> Table:
    table = Table("runs of mixture", box=box.SIMPLE, pad_edge=False)
    for column in ("runs", "in MLflow"):
        table.add_column(column, justify="right")
    table.add_column("code")
    for mixture in dict.fromkeys(run.mixture for run in runs):
        mine = [run for run in runs if run.mixture == mixture]
        recorded = sum(run.mlflow_run_id is not None for run in mine)
        table.add_row(escape(mixture), str(len(mine)), str(recorded), "\n".join(dict.fromkeys(_code(run) for run in mine)))
    return table


def _code(run: TracedRun) -> str:
    return f"{run.git_commit[:7]}{' and changes' if run.git_dirty else ''}" if run.git_commit else ""


def _executions(runs: tuple[TracedRun, ...]) -> Iterator[str]:
    """Where the runs were recorded, and where their specs lie."""
    for execution, flow_run in dict.fromkeys((run.execution_id, run.flow_run_id) for run in runs if run.execution_id):
        of_prefect = f", Prefect's flow run {flow_run}" if flow_run else ", by `dvc repro`"
        yield f" Execution: MLflow's run {execution}{of_prefect}."
    specs = [run.spec for run in runs if run.spec]
    if specs:
        yield f" Spec: {specs[0]}" if len(specs) == 1 else f" Specs: {layout.RUN_DIRECTORIES}/<key>/spec.json"
    yield ""


def _comparison(compared: tuple[ComparedStage, ...]) -> Iterator[Table | str]:
    same = [stage for stage in compared if not stage.changed]
    if same:
        yield f"{len(same)} of {len(compared)} stages had the same entry in dvc.lock as now."
    if len(same) == len(compared):
        return
    table = Table("stage", "then", "now", "what differs", box=box.SIMPLE, pad_edge=False)
    for stage in compared:
        if stage.changed:
            then, now = (", ".join(md5[:DIGITS] for md5 in outs.values()) for outs in (stage.then, stage.now))
            more = f" and {len(stage.changed) - 4} more" if len(stage.changed) > 4 else ""
            table.add_row(escape(stage.stage), then or "not there", now or "not there", escape(", ".join(stage.changed[:4]) + more))
    yield table
