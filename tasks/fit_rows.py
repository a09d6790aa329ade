"""From a table to the rows that a law is fitted to: which are used, which are set aside, and why the others are dropped.

Shapes: n rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError, nearest
from models.laws import derived
from models.laws.core import Dropped
from models.laws.estimator import CLUSTER, WEIGHT, Estimator
from models.laws.law import Array
from models.laws.noise import group_means
from tasks.fit_request import FitRequest
from tasks.tables import Table

SEED, NOISE = "seed", "noise"
SHRINKAGE_DEGREES = 4.0  # a cell's own variance of two or three seeds is worth less than the pooled one: it counts as so many more of that

ROWS_NAMED = 5  # of those dropped for one reason


@dataclass(frozen=True)
class FitRows:
    used: dict[str, Array]  # (n) by column
    held_out: dict[str, Array] | None
    read: int
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]


def check_mapped(law: Estimator, mapped: Sequence[str], weights: Sequence[str]) -> tuple[str, ...]:
    """Notes on inputs that are derived, and on names that are mapped in vain.

    Raises:
        StudyError: when something is mapped that no law knows, or the law needs something that is not there.
    """
    needed = [name for name in (*law.inputs, law.response) if name not in weights]
    missing = [name for name in needed if name not in mapped]
    if unknown := [name for name in mapped if name not in needed and name not in (*derived.FORMULAS, "U", "loss")]:
        raise StudyError(
            f"--map {unknown[0]}: the law '{law.name}' has no input '{unknown[0]}'{nearest(unknown[0], needed)}: map {', '.join(needed)}."
        )
    if lacking := [name for name in missing if not derived.sources(name, mapped)]:
        follows = " (any two of N, D, C, M give the others)" if lacking[0] in derived.FORMULAS else ""
        raise StudyError(f"The law '{law.name}' needs {', '.join(needed)}, and {lacking[0]} is not mapped{follows}: add --map {lacking[0]}=COLUMN.")
    used = {source for name in missing for source in derived.sources(name, mapped) or ()}
    idle = [name for name in mapped if name not in needed and name not in used]
    return (
        *(f"{derived.in_words(name, mapped)}, as it is not mapped." for name in missing),
        *(f"{name} is mapped, and the law '{law.name}' does not use it." for name in idle),
    )


def fit_rows(table: Table, law: Estimator, mapped: dict[str, str], weights: Sequence[str], request: FitRequest) -> FitRows:
    """Rows in an order that does not depend on the table's.

    Raises:
        StudyError: when no row is left.
    """
    notes = check_mapped(law, tuple(mapped), weights)
    numbers = mapped | {name: name for name in weights} | ({NOISE: request.noise} if request.noise else {})
    labels = {name: sql for name, sql in ((CLUSTER, request.cluster), (SEED, request.seed_column)) if sql}
    selected = table.select(numbers, request.where, labels)
    dropped = list(selected.dropped)
    names = (*law.inputs, law.response)
    columns = derived.with_derived(selected.columns, names)
    usable = np.ones(len(selected.row_numbers), dtype=bool)
    not_finite = {f"{name} is not finite": ~np.isfinite(columns[name]) for name in names}
    not_positive = {f"{name} is not positive": columns[name] <= 0 for name in names if name in law.positive}
    for reason, bad in (not_finite | not_positive | dict(law.unusable(columns))).items():
        if (refused := bad & usable).any():
            dropped.append(Dropped(int(refused.sum()), f"{reason}: {_listed(selected.row_numbers[refused])}"))
            usable &= ~refused
    if request.drop_highest_loss:
        loss = columns.get("loss", columns[law.response])
        dropped.append(_drop_highest(loss, usable, request.drop_highest_loss, selected.row_numbers))
    is_held_out = np.zeros(len(usable), dtype=bool) if request.holdout is None else table.conditions(request.holdout)[selected.row_numbers - 1]
    if request.holdout is not None and not (usable & is_held_out).any():
        raise StudyError(f"--holdout '{request.holdout}' holds for none of the {int(usable.sum())} rows that can be used: ask for others.")
    if not (usable & ~is_held_out).any():
        reasons = "; ".join(f"{one.count} rows: {one.reason}" for one in dropped)
        raise StudyError(f"No row of {request.table} is left to fit the law to ({reasons or 'all are held out'}).")
    used = _ordered({name: column[usable & ~is_held_out] for name, column in columns.items()})
    held_out = _ordered({name: column[usable & is_held_out] for name, column in columns.items()}) if request.holdout is not None else None
    return FitRows(_with_weights_and_clusters(used, law), held_out, selected.rows_read, tuple(dropped), notes)


def _listed(row_numbers: Array) -> str:
    more = f" and {len(row_numbers) - ROWS_NAMED} more" if len(row_numbers) > ROWS_NAMED else ""
    return f"row {', '.join(map(str, row_numbers[:ROWS_NAMED]))}{more}"


def _drop_highest(loss: Array, usable: Array, count: int, row_numbers: Array) -> Dropped:
    """Unmarks the `count` usable rows with the highest loss; equal losses by their place in the table."""
    candidates = np.flatnonzero(usable)
    if count >= len(candidates):
        raise StudyError(f"--drop-highest-loss {count} leaves none of the {len(candidates)} rows: ask for fewer.")
    highest = candidates[np.argsort(-loss[candidates], kind="stable")][:count]
    usable[highest] = False
    listed = ", ".join(f"{loss[row]:.4g} (row {row_numbers[row]})" for row in highest)
    return Dropped(count, f"among the {count} highest losses, as asked: {listed}")


def _ordered(columns: dict[str, Array]) -> dict[str, Array]:
    """Sorted by all columns, so that a fit and its bootstrap are the same for the same rows."""
    order = np.lexsort([columns[name] for name in sorted(columns)])
    return {name: column[order] for name, column in columns.items()}


def _with_weights_and_clusters(columns: dict[str, Array], law: Estimator) -> dict[str, Array]:
    """Adds `weight`, 1 / variance of the measured noise (of what is positive: of its logarithm) with mean 1, where noise is given or seeds tell it;
    and `cluster`, where seeds are and no run is named: runs that differ only in their seed are drawn together by the bootstrap, since what the law
    gets wrong at their place it gets wrong for all of them."""
    others = {name: column for name, column in columns.items() if name not in (SEED, NOISE)}
    if SEED not in columns and NOISE not in columns:
        return others
    response, is_log = columns[law.response], law.response in law.positive
    if NOISE in columns:
        if (columns[NOISE] <= 0).any():
            raise StudyError(f"--noise must be positive, and is {columns[NOISE].min():g}: it is the standard deviation of a row's {law.response}.")
        variance = (columns[NOISE] / response if is_log else columns[NOISE]) ** 2
    else:
        cell = np.unique(np.stack([columns[name] for name in law.inputs]), axis=1, return_inverse=True)[1].ravel()
        others.setdefault(CLUSTER, cell)
        variance = _variance_between_seeds(np.log(response) if is_log else response, cell)
    return others if variance is None else others | {WEIGHT: 1 / variance / np.mean(1 / variance)}


def _variance_between_seeds(response: Array, cell: Array) -> Array | None:
    """(n) of the row's cell, shrunk towards the variance pooled over cells; None when seeds never differ."""
    squares, counts = np.bincount(cell, (response - group_means(response, cell)) ** 2), np.bincount(cell)
    degrees = counts - 1
    if not squares.sum():
        return None
    pooled = squares.sum() / degrees.sum()
    return ((squares + SHRINKAGE_DEGREES * pooled) / (degrees + SHRINKAGE_DEGREES))[cell]
