"""`assay mix`: fit mixture laws to tables of runs, propose the best mixture and the next runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.frozen import StudyError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import RenderableType

    from models.mixture_laws.reuse import DomainChanges

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

Mixtures = Annotated[str, typer.Option(help="table of mixtures, one row per run: every column but --on is a domain's weight")]
Losses = Annotated[str, typer.Option(help="table of what was measured: every column but --on is a loss")]
On = Annotated[str, typer.Option(help="the column that names the run, in all tables")]
Target = Annotated[str, typer.Option(help="a loss, `mean` of all, or a JSON file {loss: weight}")]
LawName = Annotated[str, typer.Option(help="auto, exp, linear, lightgbm or gp; auto chooses by transfer")]
Runs = Annotated[int | None, typer.Option(min=1, help="fit only so many of the runs, drawn by --seed")]
Seed = Annotated[int, typer.Option(min=0)]
TestMixtures = Annotated[str | None, typer.Option(help="runs to test on: their mixtures")]
TestLosses = Annotated[str | None, typer.Option(help="runs to test on: their losses")]
HigherIsBetter = Annotated[bool, typer.Option("--higher-is-better", help="the target is a score, not a loss")]
Confidence = Annotated[float, typer.Option(min=0.01, max=0.999, help="of the intervals")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
Plot = Annotated[Path | None, typer.Option(help="draw it to this file (.png, .svg or .pdf)")]


@app.command()
def fit(
    mixtures: Mixtures,
    losses: Losses,
    on: On,
    target: Target,
    law: LawName = "auto",
    runs: Runs = None,
    seed: Seed = 0,
    test_mixtures: TestMixtures = None,
    test_losses: TestLosses = None,
    higher_is_better: HigherIsBetter = False,
    confidence: Confidence = 0.9,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Fit a law of mixtures and test it on other runs."""
    from flows.mix_page import fit_page
    from tasks.mix import MixRequest, fit_mixtures

    result, it = fit_mixtures(
        MixRequest(mixtures, losses, on, target, law, runs, seed, test_mixtures, test_losses, higher_is_better, confidence),
    )
    if plot is not None:
        from tasks.mix_plots import draw_fit

        draw_fit(plot, it, confidence, seed)
    _show(result, fit_page(result), as_json)


@app.command()
def propose(
    mixtures: Mixtures,
    losses: Losses,
    on: On,
    target: Target,
    law: LawName = "auto",
    runs: Runs = None,
    seed: Seed = 0,
    test_mixtures: TestMixtures = None,
    test_losses: TestLosses = None,
    higher_is_better: HigherIsBetter = False,
    confidence: Confidence = 0.9,
    target_tokens: Annotated[float | None, typer.Option(help="tokens of the training run that the mixture is for")] = None,
    available: Annotated[str | None, typer.Option(help="table of the tokens that there are: columns domain, tokens")] = None,
    max_epochs: Annotated[float | None, typer.Option(help="no domain is seen more often at the target")] = None,
    min_share: Annotated[list[str] | None, typer.Option(metavar="DOMAIN=SHARE", help="repeatable")] = None,
    max_share: Annotated[list[str] | None, typer.Option(metavar="DOMAIN=SHARE", help="repeatable")] = None,
    kl: Annotated[
        float | None, typer.Option(help="largest KL divergence in nats from the natural shares (of the runs' mean, without --available)")
    ] = None,
    next_count: Annotated[int | None, typer.Option("--next", min=0, help="name so many runs worth training next")] = None,
    flops_per_run: Annotated[float | None, typer.Option(help="of one of these runs")] = None,
    added: Annotated[list[str] | None, typer.Option(metavar="DOMAIN", help="a domain that the runs did not have yet; repeatable")] = None,
    revised: Annotated[list[str] | None, typer.Option(metavar="DOMAIN", help="a domain whose data changed since the runs; repeatable")] = None,
    split: Annotated[list[str] | None, typer.Option(metavar="OLD=NEW1+NEW2", help="a domain that was split since the runs; repeatable")] = None,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Propose the best mixture under limits, and the runs to train next."""
    from flows.mix_page import proposal_page
    from tasks.mix import MixRequest
    from tasks.mix_propose import ProposeRequest, propose_mixture

    for name, number in {"--target-tokens": target_tokens, "--max-epochs": max_epochs, "--kl": kl, "--flops-per-run": flops_per_run}.items():
        if number is not None and not 0 < number < float("inf"):
            raise StudyError(f"{name} is {number:g}: it must be positive.")
    result = propose_mixture(
        MixRequest(mixtures, losses, on, target, law, runs, seed, test_mixtures, test_losses, higher_is_better, confidence),
        ProposeRequest(
            available,
            target_tokens,
            max_epochs,
            _shares("--min-share", min_share or ()),
            _shares("--max-share", max_share or ()),
            kl,
            _changes(added or (), revised or (), split or ()),
            next_count,
            flops_per_run,
        ),
    )
    if plot is not None:
        from tasks.mix_plots import draw_proposal

        draw_proposal(plot, result)
    _show(result, proposal_page(result), as_json)


def _shares(option: str, given: Sequence[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in given:
        domain, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = None
        if not domain or not equals or value is None:
            raise StudyError(f"{option} is '{text}': it takes DOMAIN=SHARE, such as web=0.3.")
        if domain in shares:
            raise StudyError(f"{option} is given twice for '{domain}'.")
        shares[domain] = value
    return shares


def _changes(added: Sequence[str], revised: Sequence[str], split: Sequence[str]) -> "DomainChanges":
    from models.mixture_laws.reuse import DomainChanges

    parts_by_old: dict[str, tuple[str, ...]] = {}
    for text in split:
        old, _, parts = text.partition("=")
        parts_by_old[old] = tuple(part.strip() for part in parts.split("+"))
        if not old or len(parts_by_old[old]) < 2 or not all(parts_by_old[old]) or len(set(parts_by_old[old])) < len(parts_by_old[old]):
            raise StudyError(f"--split is '{text}': it takes OLD=NEW1+NEW2, a domain and its parts.")
    return DomainChanges(tuple(added), tuple(revised), parts_by_old)


def _show(result: "BaseModel", page: "Iterable[RenderableType]", as_json: bool) -> None:
    if as_json:
        print(result.model_dump_json())
        return
    from rich.console import Console

    console = Console()
    for part in page:
        console.print(part)
