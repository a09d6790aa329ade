"""What a mixture shall be good for: one loss, the mean of all, or losses weighted in a file; and columns named by their unmistakable part."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.frozen import StudyError, nearest
from models.laws.law import Array
from tasks.mixture_tables import listed

MEAN = "mean"


@dataclass(frozen=True)
class MixtureTarget:
    """The sum of `weights` times losses; `weights` holds no zeros."""

    name: str
    weights: Mapping[str, float]  # by column

    def vector(self, columns: Sequence[str]) -> Array:
        """(t)"""
        return np.array([self.weights.get(column, 0.0) for column in columns])


def mixture_target(asked: str, columns: Sequence[str]) -> MixtureTarget:
    """`asked` is a loss column or the part that only one has, `mean`, or a JSON file {loss: weight}: weights as given, a negative one asks for more.

    Raises:
        StudyError: for names that no column or several have, and files that hold anything else.
    """
    if asked in columns:
        return MixtureTarget(asked, {asked: 1.0})
    if asked == MEAN:
        return MixtureTarget(f"the mean of {len(columns)} losses", dict.fromkeys(columns, 1 / len(columns)))
    if asked.endswith(".json"):
        return _weighted(Path(asked), columns)
    column = column_named(asked, columns, "loss", f"--target takes a loss, {MEAN}, or a JSON file")
    return MixtureTarget(column, {column: 1.0})


def column_named(asked: str, columns: Sequence[str], what: str, way_out: str) -> str:
    """The column of this name, or the only one that has it between separators: `pile_cc` is `metric/the_pile_pile_cc_val_loss`.

    Raises:
        StudyError: when there is none, with the nearest, or several.
    """
    if asked in columns:
        return asked
    found = [column for column in columns if re.search(rf"(?<![A-Za-z0-9]){re.escape(asked)}(?![A-Za-z0-9])", column)] if asked else []
    if len(found) == 1:
        return found[0]
    if found:
        raise StudyError(f"The {what} '{asked}' could be any of {listed(found)}: name one in full.")
    raise StudyError(f"There is no {what} '{asked}'{nearest(asked, columns)}; {way_out}. There are {listed(columns, most=20)}.")


def _weighted(path: Path, columns: Sequence[str]) -> MixtureTarget:
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"The target's weights can't be read from {path}: {error.strerror}.") from None
    except ValueError as error:
        raise StudyError(f"{path} is no JSON ({error}): the target's weights are one object, {{loss: weight}}.") from None
    if not isinstance(weights, dict) or not weights:
        raise StudyError(f"{path} must hold one object, {{loss: weight}}, with a loss at least.")
    named: dict[str, float] = {}
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise StudyError(f"{path}: the weight of '{name}' is {weight!r}, which is no number.")
        column = column_named(name, columns, "loss", f"{path} weights the columns of the losses' table")
        if column in named:
            raise StudyError(f"{path} weights '{column}' twice.")
        named[column] = float(weight)
    if not any(named.values()):
        raise StudyError(f"{path}: all weights are zero.")
    return MixtureTarget(f"losses weighted by {path.name}", {column: weight for column, weight in named.items() if weight})
