"""`assay rank`: does the small scale decide as the large one does?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.rank_table import TableRanking


def rank(
    table: Annotated[str, typer.Argument(help="CSV(.gz), Parquet, JSON lines or mlflow:EXPERIMENT")],
    recipe: Annotated[str, typer.Option(metavar="COL", help="what is decided between; COLs are columns, or SQL expressions over them")],
    scale: Annotated[str, typer.Option(metavar="COL")],
    score: Annotated[str, typer.Option(metavar="COL", help="lower is better, as of a loss")],
    small: Annotated[str, typer.Option(metavar="V", help="the scale that decides")],
    large: Annotated[str, typer.Option(metavar="V", help="the scale that the decision is for")],
    seed_column: Annotated[str | None, typer.Option(metavar="COL", help="scores of different seeds are averaged")] = None,
    where: Annotated[str | None, typer.Option(metavar="SQL", help="use only the rows for which this holds")] = None,
    higher_is_better: Annotated[bool, typer.Option("--higher-is-better", help="as of an accuracy")] = False,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.999, help="of the interval")] = 0.9,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    plot: Annotated[Path | None, typer.Option(help="draw it to this file (.png, .svg or .pdf)")] = None,
) -> None:
    """Say how well a small scale decides between recipes, against a large one (arXiv 2504.11393)."""
    from tasks.rank_table import RankRequest, rank_table

    result = rank_table(RankRequest(table, recipe, scale, score, small, large, seed_column, where, higher_is_better, confidence))
    if plot is not None:
        from tasks.rank_plot import draw_ranking

        draw_ranking(plot, result, small, large)
    if as_json:
        print(result.model_dump_json())
    else:
        _show(result, small, large, higher_is_better)


def _show(result: "TableRanking", small: str, large: str, higher_is_better: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console, accuracy = Console(), result.decision_accuracy
    ceiling = f"; {large} itself, done again with other seeds, would reach {result.noise_ceiling:.3f}" if result.noise_ceiling is not None else ""
    console.print(
        escape(
            f"{small} decides {result.pairs} pairs of {result.recipes} recipes as {large} does with accuracy {accuracy.value:.3f} "
            f"({result.confidence:.0%} interval {accuracy.low:.3f} to {accuracy.high:.3f}){ceiling}."
        )
    )
    correlations = {"Spearman": result.spearman, "Pearson": result.pearson}
    words = [f"{name} {value:.3f}" for name, value in correlations.items() if value is not None]
    console.print(escape(f"{', '.join([*words, f'regret of the choice at {small}: {result.top1_regret:.4g}'])}."))
    table = Table("recipe", box=box.SIMPLE)
    for column in (f"score at {small}", "place", f"score at {large}", "place", "seeds"):
        table.add_column(column, justify="right")
    best_at_small = sorted(result.scores, key=lambda one: -one.small if higher_is_better else one.small)
    places = {one.recipe: place for place, one in enumerate(best_at_small, start=1)}
    for place, one in enumerate(result.scores, start=1):
        seeds = f"{one.seeds['small']}, {one.seeds['large']}"
        table.add_row(escape(one.recipe), f"{one.small:.5g}", str(places[one.recipe]), f"{one.large:.5g}", str(place), seeds)
    console.print(table)
    for dropped in result.rows.dropped:
        console.print(escape(f"Left out {dropped.count} of {result.rows.read} rows: {dropped.reason}."))
    for warning in result.warnings:
        console.print(escape(f"Note: {warning}"))
