"""What `assay fit` prints without --json."""

from collections.abc import Iterator

from rich import box
from rich.markup import escape
from rich.table import Table

from tasks.fit_table import Estimated, PredictedPoint, TableFit

Part = Table | str


def fit_page(result: TableFit) -> Iterator[Part]:
    yield f"[bold]{escape(result.law)}[/bold]  {escape(result.equation)}"
    yield f"Source: {escape(result.source)}"
    yield f"Fitted to {result.rows.used} of {result.rows.read} rows."
    for dropped in result.rows.dropped:
        yield escape(f"Left out {dropped.count}: {dropped.reason}.")
    if result.coefficients:
        yield _coefficients(result)
    yield escape(f"{result.objective.name}: {result.objective.value:.7g}")
    yield escape(", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items()))
    if result.holdout:
        told = {name: value for name, value in result.holdout.model_dump().items() if name != "rows" and value is not None}
        words = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
        yield escape(f"Held out {result.holdout.rows} rows: {words} (of {result.confidence:.0%} intervals).")
    if result.predictions:
        yield _predictions(result)
    for note in result.notes:
        yield escape(f"Note: {note}")
    for warning in result.warnings:
        yield escape(f"Warning: {warning}")


def _coefficients(result: TableFit) -> Table:
    table = Table("coefficient", box=box.SIMPLE)
    for column in ("value", f"{result.confidence:.0%} low", "high"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, value in result.coefficients.items():
        table.add_row(escape(name), *_numbers(value))
    return table


def _predictions(result: TableFit) -> Table:
    table = Table("at", "predicted", box=box.SIMPLE)
    for column in ("value", f"{result.confidence:.0%} low", "high", "one run: low", "high"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in result.predictions:
        where = ", ".join(f"{name} = {value:.4g}" for name, value in one.inputs.items())
        run = _numbers(one.run)[1:] if one.run else ("", "")
        table.add_row(escape(where), escape(one.response), *_numbers(one), *run)
        for response, value in one.others.items():
            table.add_row("", escape(response), *_numbers(value), "", "")
    return table


def _numbers(it: Estimated | PredictedPoint) -> tuple[str, str, str]:
    low, high = ("" if end is None else f"{end:.5g}" for end in (it.low, it.high))
    return f"{it.value:.5g}", low, high
