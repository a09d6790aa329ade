"""What each plot shows, as a tidy table: drawn in the page, and written to report/plots/<name>.csv for `dvc plots`."""

from collections.abc import Iterable
from dataclasses import astuple

import polars as pl

from models.verdict import Interval
from tasks.benchmarks.choice_metrics import (
    ACCURACY,
    CORRECT_CHOICE_PROBABILITY,
    MUTUAL_INFORMATION_ACCURACY,
    MUTUAL_INFORMATION_PROBABILITY,
    NORMALIZED_ACCURACY,
)
from tasks.benchmarks.items import NUM_CHOICES
from tasks.corpus_diff import known_sum
from tasks.evaluation_table import BITS_PER_BYTE, COUNTS, HELDOUT, PROBES, SNAPSHOT
from tasks.report_page.evidence import Evidence
from tasks.report_page.flows import funnel_by_source, removals
from tasks.run_directory import RunResult

OWN_CHOICES = r"^(definition|title)-choice(-\w+)?$"  # of which accuracy and probability of guessing are known; with a language behind
HAVE_CHANCE = (ACCURACY, NORMALIZED_ACCURACY, MUTUAL_INFORMATION_ACCURACY, CORRECT_CHOICE_PROBABILITY, MUTUAL_INFORMATION_PROBABILITY)
CURVE_POINTS = 60  # of one run's training curve, each the mean of its part


def plot_tables(evidence: Evidence) -> dict[str, pl.DataFrame]:
    """All tables by name. A table without rows keeps its columns: nothing to draw, and nothing invented."""
    by_source = funnel_by_source(evidence)
    return {
        "verdict": verdict(evidence),
        "back_test": back_test(evidence),
        "loss_by_compute": loss_by_compute(evidence),
        "law_curves": law_curves(evidence),
        "training_curves": training_curves(evidence),
        "funnel": funnel(by_source),
        "funnel_by_source": by_source,
        "removed": removed(evidence),
        "bits_per_byte_by_domain": bits_per_byte_by_domain(evidence),
        "benchmarks": benchmarks(evidence),
        "checkpoints": checkpoints(evidence),
        "tokens_by_domain": tokens_by_domain(evidence),
    }


def verdict(evidence: Evidence) -> pl.DataFrame:
    """One row is a mixture with a prediction at the target, best first."""
    rows = [(m.mixture, *_interval(m.predicted_loss), m.probability_best) for m in evidence.verdict.mixtures if m.predicted_loss]
    return _table(rows, mixture=pl.String, predicted_loss=pl.Float64, low=pl.Float64, high=pl.Float64, probability_best=pl.Float64)


def back_test(evidence: Evidence) -> pl.DataFrame:
    """One row is a mixture at the scale that was left out."""
    rows = evidence.verdict.back_test.rows if evidence.verdict.back_test else ()
    return _table(
        [(row.mixture, *_interval(row.predicted_loss), row.actual_loss) for row in rows],
        mixture=pl.String,
        predicted_loss=pl.Float64,
        low=pl.Float64,
        high=pl.Float64,
        actual_loss=pl.Float64,
    )


def loss_by_compute(evidence: Evidence) -> pl.DataFrame:
    """One row is a run that entered the laws. FLOPs are 6 N D, as the laws' curves count them."""
    runs = evidence.fitted_runs.filter(pl.col("mixture").is_in(evidence.mixtures))
    order = pl.col("mixture").replace_strict({name: number for number, name in enumerate(evidence.mixtures)}, return_dtype=pl.Int64)
    return (
        runs.sort(order, "num_params", "tokens", "seed")
        .with_columns(train_flops=6.0 * pl.col("num_params") * pl.col("tokens"))
        .select("mixture", "run", "size", "num_params", "tokens", "seed", "train_flops", "loss")
    )


def law_curves(evidence: Evidence) -> pl.DataFrame:
    """One row is a mixture's predicted loss at one scale, on a line of constant tokens per parameter."""
    laws = evidence.laws.mixtures
    rows = [{"mixture": name} | point.model_dump() for name in evidence.mixtures if name in laws for point in laws[name].curve]
    numbers = ("tokens_per_parameter", "num_params", "tokens", "train_flops", "loss", "low", "high")
    return pl.DataFrame(rows, schema={"mixture": pl.String, "at_target_ratio": pl.Boolean} | dict.fromkeys(numbers, pl.Float64))


def training_curves(evidence: Evidence) -> pl.DataFrame:
    """One row is the mean of one part of one run: tokens seen at its end, loss in nats per token."""
    runs = pl.DataFrame(
        [(run.mixture, run.run, run.size, run.num_params, run.seed) for run in evidence.runs],
        schema={"mixture": pl.String, "run": pl.String, "size": pl.String, "num_params": pl.Int64, "seed": pl.Int64},
        orient="row",
    )
    key = ["mixture", "run"]
    part = (pl.int_range(pl.len()).over(key) * CURVE_POINTS // pl.max_horizontal(pl.len().over(key), CURVE_POINTS)).alias("part")
    means = (
        evidence.curves.filter(pl.col("train_loss").is_finite())
        .sort(*key, "step")
        .with_columns(part)
        .group_by(*key, "part", maintain_order=True)
        .agg(pl.col("tokens").last(), pl.col("train_loss").mean())
    )
    return runs.join(means, on=key, maintain_order="left_right").select("mixture", "run", "size", "num_params", "seed", "tokens", "train_loss")


def funnel(by_source: pl.DataFrame) -> pl.DataFrame:
    """The same of all sources together."""
    key = ("recipe", "order", "corpus", "step")
    amounts = {
        "documents": pl.col("documents").sum(),
        "bytes": pl.col("bytes").sum(),
        "tokens": known_sum("tokens"),
        "counted": pl.col("counted").all(),
    }
    return by_source.group_by(*key, maintain_order=True).agg(**amounts)


def removed(evidence: Evidence) -> pl.DataFrame:
    """One row is what one step of one recipe removed of one domain and source for one reason."""
    rows = [
        (recipe, order, *astuple(removal))
        for recipe in evidence.study.recipes
        for order, removal in enumerate(removal for removal in removals(evidence, recipe) if removal.source)
    ]
    strings = dict.fromkeys(("step", "reason", "domain", "source"), pl.String)
    numbers = {"documents": pl.Int64, "bytes": pl.Int64, "tokens": pl.Int64, "counted": pl.Boolean, "share": pl.Float64}
    return _table(rows, **({"recipe": pl.String, "order": pl.Int64} | strings | numbers))


def largest_runs(runs: Iterable[RunResult]) -> list[RunResult]:
    """The completed runs of the largest size and, there, the largest budget: the same scale for all mixtures."""
    completed = [run for run in runs if run.status == "completed"]
    scale = max(((run.num_params, run.budget_tokens) for run in completed), default=None)
    return [run for run in completed if (run.num_params, run.budget_tokens) == scale]


def bits_per_byte_by_domain(evidence: Evidence) -> pl.DataFrame:
    """One row is one mixture on one held-out domain, at the largest scale: mean, least and most over seeds."""
    heldout = (pl.col("metric") == BITS_PER_BYTE) & pl.col("benchmark").str.starts_with(HELDOUT)
    seeds = _evaluated_at_largest(evidence).filter(heldout).with_columns(domain=pl.col("benchmark").str.strip_prefix(HELDOUT))
    value = pl.col("value")
    return (
        seeds.group_by("mixture", "domain", maintain_order=True)
        .agg(bits_per_byte=value.mean(), low=value.min(), high=value.max(), seeds=pl.len())
        .sort("domain", maintain_order=True)
    )


def benchmarks(evidence: Evidence) -> pl.DataFrame:
    """One row is one metric of one run of the largest scale on one benchmark, with its standard error over items."""
    is_own = pl.col("benchmark").str.contains(OWN_CHOICES)
    return (
        _evaluated_at_largest(evidence)
        .filter(~pl.col("benchmark").str.starts_with(HELDOUT), ~pl.col("benchmark").str.contains(PROBES), ~pl.col("metric").is_in(COUNTS))
        .with_columns(chance=pl.when(is_own & pl.col("metric").is_in(HAVE_CHANCE)).then(1 / NUM_CHOICES))
        .select("mixture", "benchmark", "metric", "seed", "value", "stderr", "count", "chance")
        .sort("metric", "benchmark", maintain_order=True)
    )


def checkpoints(evidence: Evidence) -> pl.DataFrame:
    """One row is one held-out domain of one snapshot, or the final model, of one run of the largest scale; none without snapshots."""
    heldout = (pl.col("metric") == BITS_PER_BYTE) & pl.col("benchmark").str.starts_with(HELDOUT)
    rows = evidence.checkpoints.filter(heldout, pl.col("value").is_not_null())
    if SNAPSHOT not in rows["checkpoint"]:
        rows = rows.clear()
    return (
        _of_largest(evidence, rows)
        .with_columns(domain=pl.col("benchmark").str.strip_prefix(HELDOUT))
        .select("mixture", "run", "domain", "tokens", bits_per_byte="value")
        .sort("domain", "mixture", "run", "tokens", maintain_order=True)
    )


def probes(evidence: Evidence) -> pl.DataFrame:
    """One row is one metric of one probe of one mixture at the largest scale: mean, least and most over seeds."""
    value = pl.col("value")
    return (
        _evaluated_at_largest(evidence)
        .filter(pl.col("benchmark").str.contains(PROBES))
        .group_by("benchmark", "metric", "mixture", maintain_order=True)
        .agg(value=value.mean(), low=value.min(), high=value.max(), seeds=pl.len())
        .sort("benchmark", "metric", maintain_order=True)
    )


def _evaluated_at_largest(evidence: Evidence) -> pl.DataFrame:
    """Measured rows of the largest runs, in the order of mixtures and seeds."""
    return _of_largest(evidence, evidence.evaluations.filter(pl.col("value").is_not_null()))


def _of_largest(evidence: Evidence, evaluations: pl.DataFrame) -> pl.DataFrame:
    largest = pl.DataFrame(
        [(run.mixture, run.run) for run in largest_runs(evidence.runs)], schema={"mixture": pl.String, "run": pl.String}, orient="row"
    )
    return largest.join(evaluations, on=["mixture", "run"], maintain_order="left_right")


def tokens_by_domain(evidence: Evidence) -> pl.DataFrame:
    """One row is one domain of one mixture: tokens read and epochs by the largest proxy run, and what that means at the target."""
    first: dict[str, RunResult] = {}
    for run in largest_runs(evidence.runs):
        first.setdefault(run.mixture, run)  # seeds differ in order, not in amounts
    target_tokens = evidence.study.target.tokens
    rows = [
        (
            mixture,
            domain,
            run.weights_by_domain[domain],
            run.unique_tokens_by_domain.get(domain),
            run.tokens_by_domain.get(domain),
            run.epochs_by_domain.get(domain),
            target_tokens * run.weights_by_domain[domain],
            run.epochs_by_domain_at(target_tokens)[domain],
        )
        for mixture, run in first.items()
        for domain in sorted(run.weights_by_domain)
    ]
    return _table(
        rows,
        mixture=pl.String,
        domain=pl.String,
        weight=pl.Float64,
        unique_tokens=pl.Int64,
        tokens=pl.Int64,
        epochs=pl.Float64,
        target_tokens=pl.Float64,
        target_epochs=pl.Float64,
    )


def _interval(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _table(rows: list[tuple], **columns: type[pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns, orient="row")
