"""Inputs that follow from others: any two of parameters N, tokens D, training FLOPs C = 6 N D and tokens per parameter M = D / N give the rest."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from models.laws.law import Array

FORMULAS: dict[str, dict[tuple[str, str], tuple[str, Callable[[Array, Array], Array]]]] = {
    "N": {
        ("C", "D"): ("C / (6 D)", lambda C, D: C / (6 * D)),
        ("D", "M"): ("D / M", lambda D, M: D / M),
        ("C", "M"): ("(C / (6 M))^(1/2)", lambda C, M: (C / (6 * M)) ** 0.5),
    },
    "D": {
        ("C", "N"): ("C / (6 N)", lambda C, N: C / (6 * N)),
        ("N", "M"): ("N M", lambda N, M: N * M),
        ("C", "M"): ("(C M / 6)^(1/2)", lambda C, M: (C * M / 6) ** 0.5),
    },
    "C": {
        ("N", "D"): ("6 N D", lambda N, D: 6 * N * D),
        ("N", "M"): ("6 N^2 M", lambda N, M: 6 * N**2 * M),
        ("D", "M"): ("6 D^2 / M", lambda D, M: 6 * D**2 / M),
    },
    "M": {
        ("D", "N"): ("D / N", lambda D, N: D / N),
        ("C", "N"): ("C / (6 N^2)", lambda C, N: C / (6 * N**2)),
        ("C", "D"): ("6 D^2 / C", lambda C, D: 6 * D**2 / C),
    },
}


def sources(name: str, given: Collection[str]) -> tuple[str, str] | None:
    """Which of the given inputs `name` follows from."""
    return next((pair for pair in FORMULAS.get(name, ()) if set(pair) <= set(given)), None)


def in_words(name: str, given: Collection[str]) -> str:
    """`D = C / (6 N)`."""
    pair = sources(name, given)
    assert pair
    return f"{name} = {FORMULAS[name][pair][0]}"


def with_derived(columns: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """`columns`, and those of `names` that follow from them; infinite or NaN where they do not."""
    derived = {}
    for name in names:
        if name not in columns and (pair := sources(name, columns)):
            with np.errstate(all="ignore"):
                derived[name] = FORMULAS[name][pair][1](columns[pair[0]], columns[pair[1]])
    return {**columns, **derived}
