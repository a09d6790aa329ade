"""What a person may write where a column is asked for: one SQL expression over the columns of one row (DuckDB), that gives the same every time."""

import json
import math
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from models.frozen import StudyError, nearest

# In memory, reading nothing and writing nothing: no spill files, no extensions fetched, no variables of this program as tables.
SETTINGS = {
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
OF_ONE_ROW = "an expression over the columns of one row"
CLAUSES = ("where_clause", "group_expressions", "having", "qualify", "sample", "modifiers")


class Expression:
    """`sql` as it goes into a query, and the columns that it may refer to.

    A text that is a column's name, as it stands, is that column, whatever it would mean in SQL (`Model Size`, `loss/pile`).
    """

    def __init__(self, text: str, names: Collection[str], connection: duckdb.DuckDBPyConnection):
        """
        Raises:
            StudyError: when the text is not one expression over one row.
        """
        self.text = text.strip()
        self._names: dict[str, str] = {name.lower(): name for name in names}  # DuckDB's names have no case
        self.referred: tuple[str, ...]
        if column := self._names.get(self.text.lower()):
            self.sql, self.referred, self.is_column = quoted(column), (column,), True
            return
        self.sql = f"({self.text}\n)"  # a comment at its end ends there
        nodes = list(_nodes(self._parsed(connection)))
        self._refuse(nodes, connection)
        self.referred = tuple(
            dict.fromkeys(self._names.get(str(name).lower(), str(name)) for node in nodes for name in node.get("column_names", ())[:1])
        )
        self.is_column = len(nodes[0].get("column_names", ())) == 1

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(name for name in self.referred if name.lower() not in self._names)

    def _parsed(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        row = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {self.sql}"]).fetchone()
        tree = json.loads(row[0]) if row else {}
        if not self.text or tree.get("error"):
            error = tree.get("error_message", "it is empty").splitlines()[0]
            raise StudyError(
                f"'{self.text}' is not an SQL expression ({error}): write one like tokens/1e9, with names that hold other characters than letters, "
                "digits and _ in double quotes."
            )
        node = tree["statements"][0]["node"]
        is_one = len(tree["statements"]) == 1 and node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1
        root = node["select_list"][0] if is_one else {}
        has_clauses = is_one and (node["from_table"]["type"] != "EMPTY" or any(node.get(clause) for clause in CLAUSES))
        if not is_one or has_clauses or root.get("function_name") == "row":
            raise StudyError(f"'{self.text}' is more than one SQL expression: write one, like tokens/1e9.")
        return root

    def _refuse(self, nodes: list[dict[str, Any]], connection: duckdb.DuckDBPyConnection) -> None:
        """Refuses what is not of one row, or is different the next time."""
        for node in nodes:
            if node.get("class") in ("SUBQUERY", "STAR", "PARAMETER"):
                raise StudyError(f"'{self.text}' holds a {node['class'].lower()}: write {OF_ONE_ROW}.")
            if node.get("class") == "FUNCTION":
                name = node["function_name"]
                kinds = connection.execute("SELECT DISTINCT function_type, stability FROM duckdb_functions() WHERE function_name = ?", [name])
                for kind, stability in kinds.fetchall():
                    if kind in ("aggregate", "table") or name == "unnest":
                        raise StudyError(f"'{self.text}' calls {name}(), which is not of one row: write {OF_ONE_ROW}.")
                    if stability not in (None, "CONSISTENT"):
                        raise StudyError(
                            f"'{self.text}' calls {name}(), which gives something else each time: the same table must give the same fit."
                        )


def constant(text: str) -> float:
    """The number that an SQL expression without columns is: `exp(6.255414)`.

    Raises:
        StudyError: when it is not a finite number.
    """
    with duckdb.connect(":memory:", config=SETTINGS) as connection:
        connection.execute("SET enable_external_access = false")
        expression = Expression(text, (), connection)
        if expression.referred:
            raise StudyError(f"'{text}' is not a number: write one, or an expression like exp(6.25).")
        try:
            row = connection.execute(f"SELECT CAST({expression.sql} AS DOUBLE)").fetchone()
        except duckdb.Error as error:
            raise StudyError(f"'{text}' is not a number: {first_line(error)}") from error
    value = row[0] if row else None
    if value is None or not math.isfinite(value):
        raise StudyError(f"'{text}' is {value}, not a finite number.")
    return value


def unknown_column(expression: Expression, names: Collection[str], source: str) -> StudyError:
    name = expression.unknown[0]
    return StudyError(
        f"There is no column '{name}' in {source}{nearest(name, names)}: its columns are {', '.join(names)}. Names that hold other characters than "
        "letters, digits and _ stand in double quotes."
    )


def quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All nodes of a parsed expression, the outermost first."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)
