"""How many tokens there are of each domain, from a table with one row per domain."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from tasks.mixture_tables import listed
from tasks.mixture_target import column_named
from tasks.tables import read


def available_tokens(path: str, domains: Sequence[str]) -> dict[str, float]:
    """Tokens by domain. The table has a column of names and a column of numbers; names are those of the weights, or their unmistakable part.

    Raises:
        StudyError: for other columns, counts that are none, and domains that only one side has.
    """
    names, tokens = _columns(path, read(path))
    matched: dict[str, float] = {}
    unknown: list[str] = []
    for name, count in zip(names, tokens, strict=True):
        if not np.isfinite(count) or count < 0:
            raise StudyError(f"{path}: the available tokens of '{name}' are {count}, which is no count.")
        try:
            domain = column_named(name, domains, "domain", "")
        except StudyError:
            unknown.append(name)
            continue
        if domain in matched:
            raise StudyError(f"{path} has two rows for '{domain}'.")
        matched[domain] = float(count)
    if (missing := [domain for domain in domains if domain not in matched]) or unknown:
        raise StudyError(
            f"The domains don't match: only in the mixtures: {listed(missing, 20)}; only in {path}: {listed(unknown, 20)}; "
            "what changed since the runs is named with --added, --revised or --split."
        )
    if not sum(matched.values()):
        raise StudyError(f"{path}: no tokens are available of any domain.")
    return matched


def _columns(path: str, table: Mapping[str, Array]) -> tuple[list[str], Array]:
    """The names and the counts: columns `domain` and `tokens`, or the only column of text and the only one of numbers."""
    words = [name for name, values in table.items() if values.dtype == object]
    numbers = [name for name, values in table.items() if values.dtype != object]
    name_column = "domain" if "domain" in words else words[0] if len(words) == 1 else None
    count_column = "tokens" if "tokens" in numbers else numbers[0] if len(numbers) == 1 else None
    if name_column is None or count_column is None:
        raise StudyError(f"{path} must have columns 'domain' (names) and 'tokens' (numbers), with one row per domain; it has {listed(table)}.")
    return [str(name) for name in table[name_column]], table[count_column]
