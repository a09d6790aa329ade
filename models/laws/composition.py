"""Rows of mixture weights: they sum to one, or the row is refused; and estimates that hold predictions to the same.

Shapes: n rows, d domains, b draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from models.laws.parametric import ParametricEstimate

TOLERANCE = 0.01  # of the sum of a row's weights: published tables are rounded
NAMED = 5  # of the refused rows in a message
BROKEN = f"The weights of a mixture must be at least 0 and sum to one within {TOLERANCE:.0%}"


def sums_to_one(columns: Mapping[str, Array], names: Sequence[str]) -> bool:
    """Whether these are all domains of a mixture: most rows sum to one. A single column, or some of the domains, do not."""
    return len(names) > 1 and float(np.median(np.abs(_sums(columns, names) - 1))) <= TOLERANCE


def off_one(columns: Mapping[str, Array], names: Sequence[str]) -> Array:
    """(n) rows with a negative weight, or whose weights do not sum to one."""
    return (np.abs(_sums(columns, names) - 1) > TOLERANCE) | (np.min([columns[name] for name in names], axis=0) < 0)


def normalised(columns: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """`columns` with weights that sum to exactly one in each row.

    Raises:
        StudyError: naming the rows with a negative weight, or whose weights do not sum to one within 1%.
    """
    off = np.flatnonzero(off_one(columns, names))
    if len(off):
        rows = "; ".join(", ".join(f"{name}={columns[name][row]:g}" for name in names) for row in off[:NAMED])
        more = f"; and {len(off) - NAMED} more" if len(off) > NAMED else ""
        raise StudyError(f"{BROKEN}, and {len(off)} of {len(columns[names[0]])} mixtures do not ({rows}{more}): correct them, or leave them out.")
    sums = _sums(columns, names)
    return dict(columns) | {name: columns[name] / sums for name in names}


@dataclass(frozen=True, kw_only=True)
class MixtureEstimate(ParametricEstimate):
    """A law of the mixture, asked at mixtures that sum to one."""

    weight_columns: tuple[str, ...]  # that must sum to one

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return super().predict(normalised(inputs, self.weight_columns))

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        return super().draws_at(normalised(inputs, self.weight_columns))


def _sums(columns: Mapping[str, Array], names: Sequence[str]) -> Array:
    return np.sum([columns[name] for name in names], axis=0)
