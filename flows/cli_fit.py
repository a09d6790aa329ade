"""`assay fit`: fit a law to any table of runs."""

from pathlib import Path
from typing import Annotated

import typer

from models.frozen import StudyError

Repeatable = list[str] | None


def fit(
    law: Annotated[str, typer.Argument(help="such as power, chinchilla, data-constrained, isoflop; an unknown name lists all")],
    table: Annotated[str, typer.Argument(help="CSV(.gz), Parquet, JSON lines or mlflow:EXPERIMENT")],
    map: Annotated[Repeatable, typer.Option(metavar="NAME=SQL", help="an input of the law, or loss, from the table's columns; repeatable")] = None,
    where: Annotated[str | None, typer.Option(metavar="SQL", help="use only the rows for which this holds")] = None,
    drop_highest_loss: Annotated[int, typer.Option(metavar="K", min=0, help="leave out the K rows with the highest loss")] = 0,
    fix: Annotated[Repeatable, typer.Option(metavar="NAME=VALUE", help="give a coefficient instead of fitting it; repeatable")] = None,
    start: Annotated[Repeatable, typer.Option(metavar="NAME=VALUE", help="search from here too; repeatable")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="draws, for intervals")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
    holdout: Annotated[str | None, typer.Option(metavar="SQL", help="set these rows aside and predict them")] = None,
    predict: Annotated[Repeatable, typer.Option(metavar="NAME=VALUE,...", help="predict at this point; repeatable")] = None,
    weights: Annotated[str | None, typer.Option(metavar="GLOB", help="columns of the mixture's weights, such as 'w_*'")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="SQL", help="rows with the same value are of one run: the bootstrap draws runs")] = None,
    seed_column: Annotated[
        str | None, typer.Option(metavar="SQL", help="rows that differ only in it show the noise, which weighs them, and are drawn together")
    ] = None,
    noise: Annotated[str | None, typer.Option(metavar="SQL", help="standard deviation of a row's loss, which weighs it")] = None,
    delta: Annotated[float, typer.Option(help="of Huber's loss: residuals of the log-loss beyond it count linearly")] = 1e-3,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.999, help="of the intervals")] = 0.9,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    plot: Annotated[Path | None, typer.Option(help="draw the fit, its residuals and the valley of its objective to this file")] = None,
) -> None:
    """Fit a law to a table of runs; say how sure its coefficients and predictions are."""
    from tasks.fit_request import FitRequest
    from tasks.fit_table import fit_table

    if not 0 < delta < float("inf"):
        raise StudyError(f"--delta is {delta:g}: it must be positive.")
    fitted = fit_table(
        FitRequest(
            law=law,
            table=table,
            maps=map or (),
            where=where,
            drop_highest_loss=drop_highest_loss,
            fixed=fix or (),
            starts=start or (),
            bootstrap=bootstrap,
            seed=seed,
            holdout=holdout,
            predict=predict or (),
            weights=weights,
            cluster=cluster,
            seed_column=seed_column,
            noise=noise,
            delta=delta,
            confidence=confidence,
        )
    )
    if plot is not None:
        from tasks.fit_plot import draw_fit

        draw_fit(plot, fitted)
    if as_json:
        print(fitted.result.model_dump_json())
        return
    from rich.console import Console

    from flows.fit_page import fit_page

    console = Console()
    for part in fit_page(fitted.result):
        console.print(part)
