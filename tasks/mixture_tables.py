"""Tables of mixtures and of their losses, matched by key and by column name, never by position.

Every column of the mixtures' table but the key is the weight of a domain; every column of the losses' table but the key is a loss. What is read is in
one order, whatever that of the files: rows by key, columns by name.

Shapes: n runs, c columns.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from tasks.tables import read

SUM_TOLERANCE = 0.01  # rows whose weights miss one by less are rounded, and are normalised
NAMED = 5  # how many of many are named in a sentence


@dataclass(frozen=True)
class KeyedNumbers:
    """A table of numbers whose rows have unique keys. A cell that is empty is NaN."""

    path: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    values_nc: Array
    text: Mapping[str, str]  # columns that hold text, and where: all NaN

    def at(self, keys: Sequence[str]) -> Array:
        """The rows (n, c) of these keys."""
        place = {key: row for row, key in enumerate(self.keys)}
        return self.values_nc[[place[key] for key in keys]]


def read_keyed(path: str, on: str) -> KeyedNumbers:
    """Raises:
    StudyError: without the key's column, other columns or rows; on empty or repeated keys.
    """
    table = read(path, texts=(on,))
    columns = sorted(name for name in table if name != on)
    if not columns:
        raise StudyError(f"{path} has no column besides the key '{on}'.")
    keys = [_key(value) for value in table[on]]
    if empty := sum(key == "" for key in keys):
        raise StudyError(f"{path} has {empty} rows without a value of '{on}', the key.")
    if repeated := sorted((key for key, count in Counter(keys).items() if count > 1), key=_place):
        raise StudyError(f"{path} has several rows for {on} {listed(repeated)}: keep one row per run.")
    order = sorted(range(len(keys)), key=lambda row: _place(keys[row]))
    numbers, text = {}, {}
    for name in columns:
        numbers[name], offending = _numbers(table[name])
        if offending is not None:
            text[name] = f"{on} {keys[offending]} has '{table[name][offending]}'"
    return KeyedNumbers(path, tuple(keys[row] for row in order), tuple(columns), np.stack([numbers[name] for name in columns], axis=1)[order], text)


def read_mixtures(path: str, on: str) -> KeyedNumbers:
    """Weights (n, c) that sum to one exactly.

    Raises:
        StudyError: for weights that are none, and rows that sum to anything else than about one, by their keys.
    """
    table = read_keyed(path, on)
    if table.text:
        name, where = next(iter(table.text.items()))
        raise StudyError(f"{path}: every column but '{on}' is a domain's weight, and '{name}' holds text ({where}): take this column out.")
    if len(table.columns) < 2:
        raise StudyError(f"{path} has one weight column, '{listed(table.columns)}': a mixture needs two domains at least.")
    for reason, bad_nc in (("is no number", ~np.isfinite(table.values_nc)), ("is negative", table.values_nc < 0)):
        if bad_nc.any():
            rows, columns = np.nonzero(bad_nc)
            raise StudyError(
                f"{path}: a weight {reason} in {len(set(rows))} rows: {on} {listed(dict.fromkeys(table.keys[row] for row in rows))} "
                f"(column '{table.columns[columns[0]]}', {table.values_nc[rows[0], columns[0]]:g})."
            )
    sums = table.values_nc.sum(axis=1)
    if len(off := np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE + 1e-12)):
        named = listed([f"{table.keys[row]} ({sums[row]:.4g})" for row in off])
        raise StudyError(f"{path}: the weights of {len(off)} rows don't sum to one within 1%: {on} {named}; weights are shares of the tokens.")
    return KeyedNumbers(path, table.keys, table.columns, table.values_nc / sums[:, None], {})


def check_same_keys(one: KeyedNumbers, other: KeyedNumbers, on: str) -> None:
    """Raises:
    StudyError: listing the keys that only one of two tables has.
    """
    _check_same(one, other, one.keys, other.keys, f"values of '{on}'")


def check_same_columns(one: KeyedNumbers, other: KeyedNumbers) -> None:
    """Raises:
    StudyError: listing the columns that only one of two tables has.
    """
    _check_same(one, other, one.columns, other.columns, "columns")


def _check_same(one: KeyedNumbers, other: KeyedNumbers, ours: Sequence[str], theirs: Sequence[str], what: str) -> None:
    only_one, only_other = ([x for x in side if x not in set(against)] for side, against in ((ours, theirs), (theirs, ours)))
    if only_one or only_other:
        raise StudyError(f"The {what} don't match: only in {one.path}: {listed(only_one)}; only in {other.path}: {listed(only_other)}.")


def listed(names: Iterable[str], most: int = NAMED) -> str:
    """The first of them, and how many more there are."""
    all_of_them = list(names)
    more = f" and {len(all_of_them) - most} more" if len(all_of_them) > most else ""
    return (", ".join(all_of_them[:most]) or "none") + more


def _key(text: str | None) -> str:
    """The same run has the same key in every format: 7 and 7.0 are one."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text.strip()) if text is not None else ""


def _place(key: str) -> tuple[float, str]:
    """Numbers in their order, before words in theirs."""
    try:
        return float(key), key
    except ValueError:
        return np.inf, key


def _numbers(values: Array) -> tuple[Array, int | None]:
    """The column as numbers, NaN where empty; of a column with text the first row that holds some, and NaN everywhere."""
    if values.dtype != object:
        return values.astype(float), None
    held = [row for row, value in enumerate(values) if value is not None]
    return np.full(len(values), np.nan), next((row for row in held if not _is_number(values[row])), held[0] if held else None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
