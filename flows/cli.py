"""The command `assay`: verbs and files. Heavy libraries are imported by the verb that needs them."""

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from flows import cli_fit, cli_mix, cli_rank, cli_record, environment
from models.frozen import StudyError
from tasks import layout
from tasks.stage import errors_in_words
from tasks.study import load_study

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(cli_mix.app, name="mix")
app.command("fit")(cli_fit.fit)
app.command("rank")(cli_rank.rank)
app.command("why")(cli_record.why)
app.command("status")(cli_record.status)
app.command("trace")(cli_record.trace)
UP_TO_DATE = "All stages are up to date: nothing to run."
Params = Annotated[Path, typer.Argument(help="parameter file of the study")]


@app.callback()
def assay() -> None:
    """Which pretraining data wins at the scale you will train at, how sure are we, and what would make us surer."""


@app.command()
def plan(
    params: Params = layout.PARAMS,
    measure: Annotated[bool, typer.Option(help="train some steps of each size of whose speed here nothing is known")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """Show what would be trained: runs, tokens, FLOPs, epochs, time and price; and what of it is done."""
    from flows.plan import print_plan
    from tasks.plan import plan_study

    planned = plan_study(load_study(params), measure_speed=measure)
    print(planned.model_dump_json()) if as_json else print_plan(planned)


@app.command()
def run(
    params: Params = layout.PARAMS,
    cores: Annotated[int | None, typer.Option(min=1, help="cores to use; all of the machine's when absent")] = None,
    retries: Annotated[int, typer.Option(min=0, help="further tries of a stage that was broken off by what may heal")] = 2,
    pool: Annotated[str, typer.Option(envvar="ASSAY_POOL", help="work pool of stages that don't name theirs in dvc.yaml; local: here")] = "local",
) -> None:
    """Bring all stages up to date through Prefect, in parallel. A parameter file that differs from params.yaml runs in a workspace of its own, beside
    the study of this folder, and ends as a DVC experiment."""
    asked = other_file(params)
    from flows.local_stack import is_up, one_run_at_a_time, prefect_for_one_run

    if not asked and not is_up() and not anything_stale():
        print(UP_TO_DATE)
        return
    with nullcontext(False) if asked else one_run_at_a_time() as waited:
        if waited and not anything_stale():
            print(UP_TO_DATE)
            return
        environment.prepare()
        with prefect_for_one_run():
            from flows.study import run_study

            state = run_study(asked, cores, retries, pool)
    if not state.is_completed():
        raise StudyError(str(state.message))
    if asked:
        print(state.message)


def other_file(params: Path) -> str | None:
    """The parameter file when it asks for another study than that of `params.yaml` here.

    Raises:
        StudyError: it is not valid.
    """
    if params.resolve() == layout.PARAMS.resolve():
        load_study(params)
        return None
    from flows.asked_study import asked_study

    return str(params) if asked_study(None, str(params)) else None


def anything_stale() -> bool:
    from flows.graph import Busy, StudyGraph

    graph = StudyGraph()
    try:
        with graph.looked_at():
            return any(graph.is_stale(address) for address in graph.addresses)
    except Busy:  # a `dvc repro` is at work
        return True


@app.command()
def up() -> None:
    """Start Prefect (server, worker with the deployment `study`) and MLflow on this machine."""
    environment.prepare()
    from flows.local_stack import up

    for name, service in up().items():
        print(f"{name:8} {service.url or f'process {service.pid}'}")


@app.command()
def down() -> None:
    """End what `assay up` started."""
    from flows.local_stack import down

    ended = down()
    print(f"Ended: {', '.join(service.name for service in ended)}." if ended else "Nothing was up.")


@app.command()
def worker(pool: Annotated[str, typer.Option(help="work pool whose stages it takes, `cpu` or `gpu` say; made when there is none")]) -> None:
    """Run stages of other machines' studies here, in .assay/stages, until Ctrl-C. PREFECT_API_URL says where their Prefect server is."""
    environment.prepare()
    from flows.local_stack import work_for

    work_for(pool)


@app.command()
def verdict() -> None:
    """Print the verdict and where the report is."""
    from models.verdict import Verdict

    path = layout.FIT / "verdict.json"
    if not path.exists():
        raise StudyError(f"There is no verdict yet ({path}): run the study with `assay run` or `dvc repro`.")
    print(Verdict.model_validate_json(path.read_text(encoding="utf-8")).sentence)
    print(f"Report: {(layout.REPORT / 'index.html').resolve()}")


def main() -> None:
    """Runs `assay`. A person's error is one sentence on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with errors_in_words():
        app()


if __name__ == "__main__":
    main()
