"""The noise floor of every metric that a study measured: its evaluations, as the analysis of variance in models/noise_floor.py wants them."""

from collections.abc import Sequence

import polars as pl

from models.noise_floor import NoiseOfMetric, Scale, checkpoint_sd, noise_of_metric, paired_sd
from tasks.evaluation_table import AVERAGE, BITS_PER_BYTE, COUNTS, FINAL, PROBES
from tasks.run_directory import RunResult

LAST_CHECKPOINTS = 5  # of a run, whose noise around their trend is looked at


def noise_of_metrics(evaluations: pl.DataFrame, runs: Sequence[RunResult], confidence: float) -> tuple[NoiseOfMetric, ...]:
    """Of all metrics of which every value has one version, probes' left out, in the order of benchmarks and metrics.

    Args:
        evaluations: rows of `EVALUATION_SCHEMA`, of all mixtures and checkpoints.
        runs: their results; rows of other runs are left out.
    """
    facts = pl.DataFrame(
        [(r.run_key, r.mixture, r.run, r.size, r.budget_tokens, r.train_flops, r.seed, r.initialization_seed, r.data_seed) for r in runs],
        schema=dict.fromkeys(("run_key", "mixture", "run", "size"), pl.String)
        | {"budget_tokens": pl.Int64, "train_flops": pl.Float64}
        | dict.fromkeys(("seed", "initialization_seed", "data_seed"), pl.Int64),
        orient="row",
    )
    rows = (
        evaluations.filter(~pl.col("metric").is_in(COUNTS), ~pl.col("benchmark").str.contains(PROBES))
        .select("run_key", "mixture", "run", "checkpoint", "tokens", "benchmark", "metric", "value", "stderr", "version")
        .join(facts, on=["run_key", "mixture", "run"])
    )
    found = (
        of_metric(benchmark, metric, part, confidence)
        for (benchmark, metric), part in sorted(rows.partition_by("benchmark", "metric", as_dict=True).items())
        if part.filter(pl.col("checkpoint") == FINAL)["version"].n_unique() == 1
    )
    return tuple(noise for noise in found if noise is not None)


def of_metric(benchmark: str, metric: str, rows: pl.DataFrame, confidence: float) -> NoiseOfMetric | None:
    """None where no scale has a value of every mixture."""
    decisive = AVERAGE if AVERAGE in rows["checkpoint"] else FINAL
    values = rows.filter((pl.col("checkpoint") == decisive) & pl.col("value").is_not_null())
    scales = complete_scales(values, rows["mixture"].n_unique())
    if not scales:
        return None
    last = values.filter(scale_name() == scales[-1].name)
    curves = rows.filter((scale_name() == scales[-1].name) & (pl.col("checkpoint") != AVERAGE) & pl.col("value").is_not_null())
    noise = noise_of_metric(
        benchmark,
        metric,
        scales,
        confidence,
        item_stderr=mean(last["stderr"]),
        parts={
            "initialization_sd": sd_between(last, "initialization_seed", alike="data_seed"),
            "data_sd": sd_between(last, "data_seed", alike="initialization_seed"),
            "checkpoint_sd": checkpoint_sd(
                [curve.sort("tokens")["value"].to_numpy()[-LAST_CHECKPOINTS:] for curve in curves.partition_by("mixture", "run")]
            ),
        },
    )
    return noise.model_copy(update={"order": best_first(last, metric)}) if noise.separates else noise


def best_first(values: pl.DataFrame, metric: str) -> tuple[str, ...]:
    """Mixtures by their means over seeds; bits are better the fewer, all else the more."""
    means = values.group_by("mixture").agg(pl.col("value").mean())
    return tuple(means.sort("value", "mixture", descending=[BITS_PER_BYTE not in metric, False])["mixture"])


def sd_between(values: pl.DataFrame, different: str, alike: str) -> float | None:
    """Between runs of a mixture that differ in one seed alone."""
    same = values.select(pl.struct("mixture", alike).rank("dense")).to_series()
    return paired_sd(values["value"].to_numpy(), same=same.to_numpy(), different=values[different].to_numpy())


def complete_scales(values: pl.DataFrame, num_mixtures: int) -> list[Scale]:
    """Sizes with budgets at which all mixtures have values of the same seeds, by compute; of the seeds, those that all have."""
    scales = []
    for (name,), part in values.group_by(scale_name().alias("scale"), maintain_order=True):
        table = part.pivot("seed", index="mixture", values="value", sort_columns=True).sort("mixture")
        seeds = [seed for seed in table.columns[1:] if table[seed].null_count() == 0]
        if len(table) == num_mixtures and seeds:
            scales.append(Scale(str(name), float(part["train_flops"].mean()), table.select(seeds).to_numpy()))  # pyright: ignore[reportArgumentType]
    return sorted(scales, key=lambda scale: scale.train_flops)


def scale_name() -> pl.Expr:
    """`<size>, <tokens> tokens`."""
    return pl.format("{}, {} tokens", "size", "budget_tokens")


def mean(column: pl.Series) -> float | None:
    return float(column.mean()) if len(column) and column.null_count() == 0 else None  # pyright: ignore[reportArgumentType]
