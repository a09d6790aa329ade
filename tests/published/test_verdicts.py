"""The study's law and its verdicts on published runs: the largest sizes left out, predicted from the rest."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.decisions import coverage
from models.laws.back_test import back_tests
from models.laws.extrapolation import extrapolation
from models.laws.noise import Runs

TABLES = Path(__file__).parents[3] / "shared" / "tables"
CHINCHILLA, MIXING = TABLES / "chinchilla_epoch" / "svg_extracted_data.csv", TABLES / "mixinglaws" / "2Mix.csv"


def left_out_intervals(rest: Runs, held: Runs) -> np.ndarray:
    """(3, n) low, median and high of every run that was left out."""
    fitted = extrapolation(rest, 200, seed=0)
    draws = [fitted.draws_at(held.num_params[[i]], held.tokens[[i]], seeds=1, place=1 + i)[:, 0, 0] for i in range(len(held.loss))]
    return np.quantile(draws, [0.05, 0.5, 0.95], axis=1)


@pytest.mark.slow
@pytest.mark.skipif(not CHINCHILLA.exists(), reason=f"no published tables at {TABLES}")
def test_intervals_at_the_largest_sizes_of_chinchilla(capsys):
    """All runs above a size are left out. Errors of the law at neighbouring scales are one error: a band of sizes is one trial rather than many."""
    table = pl.read_csv(CHINCHILLA)
    table = table.sort("loss").head(len(table) - 5).filter(pl.col("loss").is_not_nan())
    size, flops, loss = (table[name].to_numpy() for name in ("Model Size", "Training FLOP", "loss"))
    zeros = np.zeros(len(size), int)
    runs = Runs(zeros, np.arange(len(size)), zeros, size, flops / (6 * size), loss)
    found = []
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        limit = np.quantile(size, share)
        rest, held = runs.where(size <= limit), runs.where(size > limit)
        low, middle, high = left_out_intervals(rest, held)
        found.append((limit, coverage(low, high, held.loss), float(np.abs(middle / held.loss - 1).mean())))
    with capsys.disabled():
        for limit, covered, error in found:
            print(f"\nchinchilla above {limit:.3g} parameters left out: 90% intervals cover {covered:.1%}, mean relative error {error:.2%}", end="")
    assert 0.85 <= np.mean([covered for _, covered, _ in found]) <= 0.97
    assert max(error for *_, error in found) < 0.02


@pytest.mark.slow
@pytest.mark.skipif(not MIXING.exists(), reason=f"no published tables at {TABLES}")
@pytest.mark.parametrize("domain", ["Github", "Pile-CC"])
def test_the_order_of_mixtures_at_160M_from_70M(domain, capsys):
    """arXiv 2403.16952: five mixtures of two domains; steps of a run are its token budgets (each a point of one run, not a run)."""
    table = pl.read_csv(MIXING).filter(pl.col("valid_domain") == domain, pl.col("step") >= 20_000)
    mixtures, steps = sorted(table["ratio"].unique()), sorted(table["step"].unique())
    sizes = {"70M": 70e6, "160M": 160e6}
    runs = Runs(
        mixture=np.array([mixtures.index(ratio) for ratio in table["ratio"]]),
        cell=np.array([steps.index(step) + len(steps) * (size == "160M") for step, size in table.select("step", "size").iter_rows()]),
        seed=np.zeros(len(table), int),
        num_params=np.array([sizes[size] for size in table["size"]]),
        tokens=np.array([step * 1e6 for step in table["step"]]),  # the law has no unit of tokens
        loss=table["loss"].to_numpy(),
    )
    (test,) = back_tests(runs, mixtures, {70e6: "70M", 160e6: "160M"}, 0.9, draws=100, seed=0)
    with capsys.disabled():
        for method, found in test.methods.items():
            accuracy, inside, log_score = found.decision_accuracy, found.difference_coverage, found.log_score
            print(
                f"\nmixinglaws {domain} {method}: pairs right {accuracy:.0%}, differences in interval {inside:.0%}, log score {log_score:.1f}", end=""
            )
            assert found.decision_accuracy == 1.0 and found.coverage >= 0.8
