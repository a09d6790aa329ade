"""The runs that a mixture law is fitted to or tested on: two tables joined, rows that say nothing dropped with their reason.

Shapes: n runs, t losses.
"""

from dataclasses import dataclass, replace

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from models.mixture_laws.law import MixtureRuns
from tasks.mixture_tables import KeyedNumbers, check_same_keys, listed
from tasks.mixture_target import MixtureTarget
from tasks.tables import DroppedRows, Rows

DIVERGED = 10.0  # interquartile ranges above the third quartile; Tukey's "far out" is 3, and mixtures of one domain alone come near that
FEWEST_RUNS = 5  # fewer leave nothing to test a law on


@dataclass(frozen=True)
class JoinedRuns:
    """Runs that can be used."""

    runs: MixtureRuns
    keys: tuple[str, ...]
    rows: Rows
    warnings: tuple[str, ...]

    def only(self, kept_n: Array, reason: str | None = None) -> "JoinedRuns":
        """The runs kept (n, boolean), in their order. Without a reason the others were not asked for, and count as not read."""
        runs = replace(self.runs, weights_nd=self.runs.weights_nd[kept_n], losses_nt=self.runs.losses_nt[kept_n])
        used, left = int(kept_n.sum()), int((~kept_n).sum())
        dropped = self.rows.dropped + ((DroppedRows(count=left, reason=reason),) if reason and left else ())
        rows = Rows(read=self.rows.read - (0 if reason else left), used=used, dropped=dropped)
        return replace(self, runs=runs, keys=tuple(key for key, keep in zip(self.keys, kept_n, strict=True) if keep), rows=rows)


def joined_runs(mixtures: KeyedNumbers, losses: KeyedNumbers, on: str, target: MixtureTarget, higher_is_better: bool) -> JoinedRuns:
    """Raises:
    StudyError: when the tables hold different runs, or a loss of the target is text.
    """
    check_same_keys(mixtures, losses, on)
    for column in target.weights:
        if column in losses.text:
            raise StudyError(f"{losses.path}: the loss '{column}' holds text: {losses.text[column]}.")
    asked = [losses.columns.index(column) for column in target.weights]
    usable_t = np.isfinite(losses.values_nc.sum(axis=0))
    usable_t[asked] = True
    left_out = [column for column, usable in zip(losses.columns, usable_t, strict=True) if not usable]
    warnings = (f"{losses.path}: not used as evidence, for text or empty cells in them: {listed(left_out)}.",) if left_out else ()
    names = tuple(column for column, usable in zip(losses.columns, usable_t, strict=True) if usable)
    runs = MixtureRuns(mixtures.columns, names, mixtures.values_nc, losses.values_nc[:, usable_t])
    read = len(mixtures.keys)
    joined = JoinedRuns(runs, mixtures.keys, Rows(read=read, used=read, dropped=()), warnings)
    finite_n = np.isfinite(losses.values_nc[:, asked].sum(axis=1))
    joined = joined.only(finite_n, f"no finite loss: {on} {_named(mixtures.keys, ~finite_n)}")
    if higher_is_better or not joined.keys:
        return joined
    target_n = joined.runs.losses_nt @ target.vector(names)
    first, third = np.quantile(target_n, [0.25, 0.75])
    fence = third + DIVERGED * (third - first)
    # where most runs are equal there is no range to measure a run by
    sane_n = (target_n <= fence) | (third == first)
    return joined.only(sane_n, f"diverged, above {fence:.4g}, {DIVERGED:g} interquartile ranges over most: {on} {_named(joined.keys, ~sane_n)}")


def check_fittable(joined: JoinedRuns, target: MixtureTarget) -> None:
    """Raises:
    StudyError: when there are too few runs, or they are all alike.
    """
    runs = joined.runs
    dropped = "".join(f"; dropped {it.count}: {it.reason}" for it in joined.rows.dropped)
    if (distinct := len(np.unique(runs.weights_nd, axis=0))) < FEWEST_RUNS:
        raise StudyError(f"{distinct} different mixtures can be used, and a law of mixtures needs {FEWEST_RUNS} at least{dropped}.")
    if not np.ptp(target_n := runs.losses_nt @ target.vector(runs.loss_names)):
        raise StudyError(f"{target.name} is {target_n[0]:g} in all {len(target_n)} runs: there is nothing to choose by{dropped}.")


def drawn(joined: JoinedRuns, count: int, seed: int) -> JoinedRuns:
    """`count` of the runs by lot, whatever their order in the files.

    Raises:
        StudyError: when there are fewer.
    """
    if count > len(joined.keys):
        raise StudyError(f"--runs asks for {count} runs, and {len(joined.keys)} can be used.")
    picked = np.zeros(len(joined.keys), dtype=bool)
    picked[np.random.default_rng(seed).choice(len(joined.keys), size=count, replace=False)] = True
    return joined.only(picked)


def _named(keys: tuple[str, ...], these_n: Array) -> str:
    return listed([key for key, one in zip(keys, these_n, strict=True) if one])
