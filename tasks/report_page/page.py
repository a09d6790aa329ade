"""The page: evidence and figures through one template with autoescape on. Whatever comes from documents or files is text, never markup."""

from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks import layout
from tasks.documents import read_shards
from tasks.report_page import data_figures, law_figures, numbers
from tasks.report_page.decontaminated import decontaminated
from tasks.report_page.diffs import diffs
from tasks.report_page.evidence import Evidence
from tasks.report_page.flows import removals
from tasks.report_page.learned import learned
from tasks.report_page.legible import legible
from tasks.report_page.plan_and_actual import rungs
from tasks.report_page.plot_tables import funnel, largest_runs, probes
from tasks.report_page.samples import sample_corpus
from tasks.report_page.svg import Series, css_variables

TEMPLATES = Path(__file__).parent
NUMBER_FILTERS = (
    "significant",
    "count",
    "size",
    "power_of_ten",
    "percent",
    "probability",
    "difference",
    "loss",
    "with_interval",
    "tokens",
    "compact",
)
PARTS_OF_NOISE = {"initialization_sd": "of initialisation", "data_sd": "of data order", "checkpoint_sd": "of checkpoints"}


def render(evidence: Evidence, tables: dict[str, pl.DataFrame]) -> str:
    """The page as one HTML document, without any reference to something outside it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else legible(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {name: getattr(numbers, name) for name in NUMBER_FILTERS}
    series = Series(evidence.mixtures)
    light, dark = css_variables()
    return environment.get_template("page.html.jinja").render(
        evidence=evidence,
        study=evidence.study,
        verdict=evidence.verdict,
        series=series,
        light=Markup(light),
        dark=Markup(dark),
        figures=figures(evidence, tables, series),
        largest=largest_runs(evidence.runs),
        mixture_rows=tables["tokens_by_domain"].to_dicts(),
        rungs=rungs(evidence),
        planned_epochs={run.mixture: run.planned_epochs_by_domain for run in largest_runs(evidence.runs)},
        losses={(row["mixture"], row["run"]): row["loss"] for row in tables["loss_by_compute"].to_dicts()},
        probes=probes(evidence).partition_by("benchmark", "metric", as_dict=True, maintain_order=True),
        by_source={of["recipe"][0]: matrix(of) for of in tables["funnel_by_source"].partition_by("recipe", maintain_order=True)},
        diffs=diffs(evidence.study),
        decontaminated={recipe: decontaminated(recipe) for recipe in evidence.study.recipes},
        removals={recipe: removals(evidence, recipe) for recipe in evidence.study.recipes},
        learned={recipe: learned(recipe) for recipe in evidence.study.recipes},
        pool=pool_composition(),
        samples={recipe: sample_corpus(recipe, evidence.study.seed) for recipe in evidence.study.recipes},
        parts_of_noise={part: title for part, title in PARTS_OF_NOISE.items() if any(getattr(it, part) is not None for it in evidence.noise)},
    )


def figures(evidence: Evidence, tables: dict[str, pl.DataFrame], series: Series) -> dict[str, Markup]:
    """Each figure by the name of its table; none for a table without rows."""
    drawn: dict[str, Any] = {
        "verdict": lambda table: law_figures.forest(table, evidence.verdict, series),
        "back_test": lambda table: law_figures.back_test(table, evidence.verdict, series),
        "loss_by_compute": lambda table: law_figures.loss_by_compute(table, tables["law_curves"], tables["verdict"], evidence.verdict, series),
        "training_curves": lambda table: law_figures.training_curves(table, series),
        "funnel": data_figures.funnel,
        "bits_per_byte_by_domain": lambda table: data_figures.bits_per_byte_by_domain(table, series),
        "tokens_by_domain": lambda table: data_figures.tokens_by_domain(table, series),
        "benchmarks": lambda table: data_figures.benchmarks(table, series),
        "checkpoints": lambda table: law_figures.checkpoints(table, series),
    }
    return {name: draw(tables[name]) for name, draw in drawn.items() if tables[name].height}


def matrix(by_source: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Of one recipe: for each source, and first for `all` of them, what is left after each step, in their order."""
    sources = by_source.sort("source", "order").partition_by("source", as_dict=True, maintain_order=True)
    return {"all": funnel(by_source).to_dicts()} | {source: steps.to_dicts() for (source,), steps in sources.items()}


def pool_composition() -> list[dict[str, Any]]:
    """One row per domain, source and licence of the pool: documents, bytes of text. Memory is one shard's."""
    key = ["domain", "source", "license"]
    shards = (pl.DataFrame(pl.from_arrow(table)) for table in read_shards(layout.kept(layout.POOL), [*key, "text"]))
    sums = [shard.group_by(key).agg(documents=pl.len(), bytes=pl.col("text").str.len_bytes().sum()) for shard in shards]
    return pl.concat(sums).group_by(key).sum().sort(key).to_dicts()
