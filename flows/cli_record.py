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


def _show(page: Iterable[object]) -> None:
    from flows.console import console

    out = console()
    for part in page:
        out.print(part)
