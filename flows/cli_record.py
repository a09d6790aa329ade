"""`assay why`, `assay status`, `assay trace`: what the study's record says."""

from collections.abc import Iterable
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]


def why(
    stage: Annotated[str, typer.Argument(help="name@item, or a bare name for all its items")],
    as_json: AsJson = False,
) -> None:
    """Say which input, parameter or code changed since a stage last ran."""
    from flows.why import why as reasons_of

    reasons = reasons_of(stage)
    if as_json:
        print(reasons.model_dump_json())
        return
    from flows.why_page import why_page

    _show(why_page(reasons))


def status(as_json: AsJson = False) -> None:
    """Say what is done, running, stale and failed."""
    from flows.status import status as status_of
    from tasks.study import load_study

    found = status_of(load_study())
    if as_json:
        print(found.model_dump_json())
        return
    from flows.status_page import status_page

    _show(status_page(found))


def trace(
    what: Annotated[str, typer.Argument(metavar="RUN|STAGE|MD5", help="also a run key, a Prefect flow run or a git revision")],
    as_json: AsJson = False,
) -> None:
    """Follow a run, a stage or a data version to all that it came from and went into, and check that they agree (exit code 1 when not)."""
    from flows.trace import trace as trace_of
    from tasks.study import load_study

    found = trace_of(load_study(), what)
    if as_json:
        print(found.model_dump_json())
    else:
        from flows.trace_page import trace_page

        _show(trace_page(found))
    if found.problems:
        raise typer.Exit(1)


def _show(page: Iterable[object]) -> None:
    from flows.console import console

    out = console()
    for part in page:
        out.print(part)
