"""Any table of results as columns: CSV, Parquet and JSON lines files, and MLflow's experiments; columns are SQL expressions over the table's.

A text column of which most entries are numbers is a column of numbers with mistakes in it: its other entries are no numbers, and their rows are
dropped and counted where the column is needed. Rows are numbered from 1, without the header.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from models.frozen import Frozen, StudyError, nearest
from models.laws.core import Dropped
from models.laws.law import Array
from tasks.sql_expressions import SETTINGS, Expression, constant, first_line, quoted, unknown_column
from tasks.table_sources import ROW, load

__all__ = ["DroppedRows", "Rows", "Selected", "Table", "constant", "read", "select"]

NUMBER_KINDS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # and unsigned ones


class DroppedRows(Frozen):
    count: int
    reason: str


class Rows(Frozen):
    """What became of a table's rows, as results tell it."""

    read: int
    used: int
    dropped: tuple[DroppedRows, ...]

    @classmethod
    def of(cls, read: int, dropped: Sequence[Dropped]) -> "Rows":
        told = tuple(DroppedRows(count=one.count, reason=one.reason) for one in dropped)
        return cls(read=read, used=read - sum(one.count for one in told), dropped=told)


@dataclass(frozen=True)
class Selected:
    """Rows of a table that can be used, in its order."""

    columns: dict[str, Array]  # (n) by name: finite float64 of numbers, str of labels
    row_numbers: Array  # (n) in the table, from 1
    rows_read: int
    dropped: tuple[Dropped, ...]


def select(source: str, numbers: Mapping[str, str], where: str | None = None, labels: Mapping[str, str] | None = None) -> Selected:
    """`Table(source).select(...)`."""
    with Table(source) as table:
        return table.select(numbers, where, labels)


def read(source: str, texts: Collection[str] = ()) -> dict[str, Array]:
    """`Table(source).read(...)`."""
    with Table(source) as table:
        return table.read(texts)


class Table:
    """A table in memory, in which expressions can reach nothing but its columns. Close it, or use it as a context manager.

    Raises:
        StudyError: when it isn't there, can't be read or has no rows.
    """

    def __init__(self, source: str):
        self.source = source
        self._connection = duckdb.connect(":memory:", config=SETTINGS)
        self._refused = load(source, self._connection)
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        kinds = self._connection.execute("DESCRIBE texts").fetchall()
        self._kinds = {name: str(kind) for name, kind, *_ in kinds if name != ROW}
        self.names = tuple(self._kinds)
        self.rows = int(self._one("SELECT count(*) FROM texts")[0])
        if not self.rows:
            raise StudyError(f"{source} has no rows that can be used{_because(self._refused)}.")
        self._number_columns = self._numbers_in_text()
        self._connection.execute(f"CREATE VIEW numbers AS SELECT {', '.join(map(self._as_number, self.names))}, {quoted(ROW)} FROM texts")

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def select(self, numbers: Mapping[str, str], where: str | None = None, labels: Mapping[str, str] | None = None) -> Selected:
        """The rows for which `where` holds, every number is finite and every label is there.

        Raises:
            StudyError: when something asked for is not an expression over the table's columns, no row is left, or they can't be compared.
        """
        dropped = list(self._refused)
        usable = np.ones(self.rows, bool)

        def drop(bad: Array, reason: str) -> None:
            if count := int((bad & usable).sum()):
                dropped.append(Dropped(count, reason))
                usable[bad] = False

        if where is not None:
            drop(~self.conditions(where), f"where '{where}' does not hold")
        columns: dict[str, Array] = {}
        for name, text in (labels or {}).items():
            values, is_null = self._labels(text)
            columns[name] = values
            drop(is_null, f"{_what(name, text)} is missing")
        for name, text in numbers.items():
            columns[name], is_null, is_text, expression = self._numbers(text)
            what = _what(name, text)
            if (is_text & usable).any():
                row = int(np.flatnonzero(is_text & usable)[0])
                drop(is_text, f"{what} is not a number: {self._cell(expression, row)} in row {row + 1}")
            drop(is_null, f"{what} {'is missing' if expression.is_column else 'has no value'}")
            drop(np.isnan(columns[name]), f"{what} is NaN")
            drop(np.isinf(columns[name]), f"{what} is infinite")
        if not usable.any():
            raise StudyError(f"No row of {self.source} can be used{_because(dropped)}.")
        rows_read = self.rows + sum(one.count for one in self._refused)
        selected = Selected({name: column[usable] for name, column in columns.items()}, np.flatnonzero(usable) + 1, rows_read, tuple(dropped))
        self._check_versions(selected)
        return selected

    def _check_versions(self, selected: Selected) -> None:
        """Of a study's evaluations (tasks/evaluation_table.py): numbers of different versions are not compared.

        Raises:
            StudyError: when rows of one metric of one benchmark have several.
        """
        if not {"benchmark", "metric", "version"} <= set(self.names):
            return
        benchmark, metric, version = (self._labels(name)[0][selected.row_numbers - 1] for name in ("benchmark", "metric", "version"))
        first: dict[tuple[str, str], str] = {}
        for one, its_metric, its_version in zip(benchmark, metric, version, strict=True):
            if (other := first.setdefault((one, its_metric), its_version)) != its_version:
                raise StudyError(
                    f"{self.source}: {its_metric} of {one} has versions {other} and {its_version}, which can't be compared: choose one, as in "
                    f"--where \"version = '{other}'\", or evaluate all runs again."
                )

    def read(self, texts: Collection[str] = ()) -> dict[str, Array]:
        """Every column, whole: float64 (NaN where empty) when all its entries are numbers, else, and for `texts`, str or None.

        Raises:
            StudyError: when one of `texts` is not a column.
        """
        if unknown := [name for name in texts if name not in self.names]:
            raise StudyError(f"There is no column '{unknown[0]}' in {self.source}{nearest(unknown[0], self.names)}: it has {', '.join(self.names)}.")
        columns = {}
        for name in self.names:
            values, _, is_text, _ = self._numbers(name)
            columns[name] = self._labels(name)[0] if name in texts or is_text.any() or not self._is_number(name) else values
        return columns

    def _numbers_in_text(self) -> frozenset[str]:
        """Text columns of which most entries are numbers."""
        texts = [name for name, kind in self._kinds.items() if kind == "VARCHAR"]
        if not texts:
            return frozenset()
        counts = self._one(f"SELECT {', '.join(f'count({quoted(name)}), count(TRY_CAST({quoted(name)} AS DOUBLE))' for name in texts)} FROM texts")
        return frozenset(name for name, entries, numbers in zip(texts, counts[::2], counts[1::2], strict=True) if entries and 2 * numbers >= entries)

    def _as_number(self, name: str) -> str:
        """The column in the view `numbers`: integers too are floats there, so that 6 N D does not overflow."""
        return f"TRY_CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" if self._is_number(name) else quoted(name)

    def _is_number(self, name: str) -> bool:
        return name in self._number_columns or self._kinds[name].removeprefix("U").split("(")[0] in NUMBER_KINDS

    def _numbers(self, text: str) -> tuple[Array, Array, Array, Expression]:
        """(rows) values, NaN where there is none; where there is none; and where that is for text in a column of numbers."""
        expression = self._expression(text)
        cast = f"CAST({expression.sql} AS DOUBLE)"
        row_by_row = [(f"TRY({cast})", "numbers")] if expression.referred else []
        values = self._first_that_works(expression, (cast, "numbers"), (cast, "texts"), *row_by_row)
        is_null = np.ma.getmaskarray(values)
        is_text = np.zeros(self.rows, bool)
        for column in expression.referred if is_null.any() else ():
            if column in self._number_columns or (expression.is_column and self._kinds[column] == "VARCHAR"):
                name = quoted(column)
                is_text |= self._column(f"{name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL", "texts").data.astype(bool)
        return np.ma.filled(values.astype(float), np.nan), is_null, is_text & is_null, expression

    def _labels(self, text: str) -> tuple[Array, Array]:
        """(rows) str, None where there is none; and where there is none."""
        expression = self._expression(text)
        cast = f"CAST({expression.sql} AS VARCHAR)"
        values = self._first_that_works(expression, (cast, "texts"), (cast, "numbers"))
        is_null = np.ma.getmaskarray(values)
        texts = values.data.astype(object)
        texts[is_null] = None
        return texts, is_null

    def conditions(self, text: str) -> Array:
        """(rows) where a condition holds; not where it is neither true nor false."""
        expression = self._expression(text)
        cast = f"CAST({expression.sql} AS BOOLEAN)"
        return np.ma.filled(self._first_that_works(expression, (cast, "numbers"), (cast, "texts")), False).astype(bool)

    def _expression(self, text: str) -> Expression:
        return Expression(text, self.names, self._connection)

    def _first_that_works(self, expression: Expression, *ways: tuple[str, str]) -> np.ma.MaskedArray:
        errors = []
        for sql, table in ways:
            try:
                return self._column(sql, table)
            except duckdb.Error as error:
                if expression.unknown:
                    raise unknown_column(expression, self.names, self.source) from error
                errors.append(error)
        raise StudyError(f"'{expression.text}' can't be computed from the columns of {self.source}: {first_line(errors[0])}") from errors[0]

    def _column(self, sql: str, table: str) -> np.ma.MaskedArray:
        return np.ma.asarray(self._connection.execute(f"SELECT {sql} AS it FROM {table} ORDER BY {quoted(ROW)}").fetchnumpy()["it"])

    def _cell(self, expression: Expression, row: int) -> str:
        """The first text that stands where an expression needs a number."""
        for column in expression.referred:
            name = quoted(column)
            found = self._connection.execute(
                f"SELECT {name} FROM texts WHERE {quoted(ROW)} = ? AND {name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL", [row + 1]
            ).fetchone()
            if found:
                return repr(found[0])
        raise AssertionError

    def _one(self, sql: str) -> Sequence[int]:
        row = self._connection.execute(sql).fetchone()
        assert row
        return row


def _what(name: str, text: str) -> str:
    return name if name == text else f"{name} = {text}"


def _because(dropped: Sequence[Dropped]) -> str:
    return "".join([": ", "; ".join(f"{one.count} rows: {one.reason}" for one in dropped)]) if dropped else ""
