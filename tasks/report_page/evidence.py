"""All that the report reads, gathered once: records and tables of the study's own recipes and mixtures, whatever else lies beside them."""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from models.frozen import StudyError
from models.laws.record import Laws
from models.noise_floor import NoiseOfMetric
from models.verdict import Verdict
from tasks import layout
from tasks.atomic import read_json
from tasks.document_tokens import read_with_tokens
from tasks.evaluation_table import AVERAGE, read_all, read_decisive
from tasks.report_page.flows import Tokens
from tasks.report_page.removed_tokens import removed_tokens, study_tokenizer
from tasks.run_directory import RunResult
from tasks.steps.funnel import FunnelRow, load_funnel_chain
from tasks.study import Study, lineage
from tasks.tokenize_corpus import TokensManifest, load_manifest


@dataclass(frozen=True)
class Evidence:
    """What the stages before the report found."""

    study: Study
    funnels_by_recipe: dict[str, list[tuple[str, list[FunnelRow]]]]  # (corpus, its rows) from the pool to the recipe
    tokens_by_recipe: dict[str, TokensManifest]
    kept_tokens: dict[str, dict[str, Tokens]]  # by corpus and source, counted; of recipes, and of corpora that one without steps continues
    removed_tokens: dict[str, pl.DataFrame]  # by corpus, see removed_tokens.py
    runs: list[RunResult]  # by mixture in the study's order, then size, budget, seed
    curves: pl.DataFrame  # mixture, run, step, tokens, train_loss
    evaluations: pl.DataFrame  # EVALUATION_SCHEMA, only benchmarks that have one version
    checkpoints: pl.DataFrame  # the same of every model of a run, averages left out
    mixed_versions: list[str]  # benchmarks that were left out because their versions differ
    fitted_runs: pl.DataFrame
    laws: Laws
    verdict: Verdict
    noise: list[NoiseOfMetric]

    @property
    def mixtures(self) -> list[str]:
        return list(self.study.mixtures)


def gather(study: Study) -> Evidence:
    """Reads the products of the stages before.

    Raises:
        StudyError: names the first file that is missing.
    """
    runs = [run for mixture in study.mixtures for run in _runs(mixture)]
    funnels_by_recipe = {recipe: _funnels(study, recipe) for recipe in study.recipes}
    corpora = dict.fromkeys(corpus for funnels in funnels_by_recipe.values() for corpus, _ in funnels)
    stepped = [corpus for corpus in corpora if corpus == layout.POOL or study.recipes[corpus].steps]
    _existing(layout.TOKENIZER)
    count = study_tokenizer()
    evaluations, mixed_versions = _comparable(pl.concat([_evaluations(mixture) for mixture in study.mixtures]))
    checkpoints, _ = _comparable(read_all(study.mixtures).filter(pl.col("checkpoint") != AVERAGE))
    return Evidence(
        study=study,
        funnels_by_recipe=funnels_by_recipe,
        tokens_by_recipe={recipe: load_manifest(_existing(layout.TOKENS / recipe / "manifest.json").parent) for recipe in study.recipes},
        kept_tokens=_kept_tokens(study),
        removed_tokens={corpus: removed_tokens(corpus, _tokenized_before(study, corpus), study.seed, count) for corpus in stepped},
        runs=runs,
        curves=_curves(runs),
        evaluations=evaluations,
        checkpoints=checkpoints,
        mixed_versions=mixed_versions,
        fitted_runs=pl.read_parquet(_existing(layout.FIT / "runs.parquet")),
        laws=Laws.model_validate(read_json(_existing(layout.FIT / "laws.json"))),
        verdict=Verdict.model_validate(read_json(_existing(layout.FIT / "verdict.json"))),
        noise=[NoiseOfMetric.model_validate(of_metric) for of_metric in read_json(_existing(layout.FIT / "noise_floor.json"))],
    )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise StudyError(f"The report needs {path}, which is not there: run the stages before it (`dvc repro`), or `dvc checkout`.")
    return path


def _funnels(study: Study, recipe: str) -> list[tuple[str, list[FunnelRow]]]:
    for corpus in lineage(study.recipes, recipe):
        _existing(layout.funnel(corpus))
    return load_funnel_chain(study, recipe)


def _kept_tokens(study: Study) -> dict[str, dict[str, Tokens]]:
    kept = {recipe: _by_source(recipe) for recipe in study.recipes}
    return {study.recipes[name].base: kept[name] for name in kept if not study.recipes[name].steps} | kept


def _tokenized_before(study: Study, corpus: str) -> str | None:
    """A recipe whose corpus is what the steps of `corpus` began with."""
    base = study.recipes[corpus].base if corpus in study.recipes else None
    same = [name for name, recipe in study.recipes.items() if recipe.base == base and not recipe.steps]
    return next(iter([base, *same] if base in study.recipes else same), None)


def _by_source(recipe: str) -> dict[str, Tokens]:
    sums = [table.group_by("source").aggregate([("tokens", "sum")]) for table in read_with_tokens(recipe, ["source"])]
    table = pa.concat_tables(sums).group_by("source").aggregate([("tokens_sum", "sum")])
    return {row["source"]: Tokens(row["tokens_sum_sum"], True) for row in table.to_pylist()}


def _runs(mixture: str) -> list[RunResult]:
    paths = sorted(_existing(layout.RUNS / mixture).glob("*/result.json"))
    return sorted((RunResult.model_validate(read_json(path)) for path in paths), key=lambda run: (run.num_params, run.budget_tokens, run.seed))


def _curves(runs: list[RunResult]) -> pl.DataFrame:
    rows = []
    for run in runs:
        path = layout.RUNS / run.mixture / run.run / "metrics.jsonl"
        if path.exists():
            lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
            rows += [(run.mixture, run.run, line["step"], line["tokens"], line["train_loss"]) for line in lines]
    columns = {"mixture": pl.String, "run": pl.String, "step": pl.Int64, "tokens": pl.Int64, "train_loss": pl.Float64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _evaluations(mixture: str) -> pl.DataFrame:
    table = pl.from_arrow(read_decisive(_existing(layout.EVALUATIONS / f"{mixture}.parquet")))
    assert isinstance(table, pl.DataFrame)
    return table


def _comparable(evaluations: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Leaves out benchmarks of which the runs saw different versions: their values can't be compared."""
    versions = evaluations.group_by("benchmark", "metric").agg(pl.col("version").n_unique())
    mixed = sorted(versions.filter(pl.col("version") > 1)["benchmark"].unique())
    return evaluations.filter(~pl.col("benchmark").is_in(mixed)), mixed
