"""A run's last checkpoints, scored alike, as one: their mean is less noisy than the final model alone."""

from collections.abc import Sequence
from typing import Any

from tasks.evaluation_table import AVERAGE


def average_rows(models: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean over models that were asked the same, as rows under the last one's tokens.

    A value that one model lacks is missing in the mean. The standard error is the mean of theirs: over the same items errors don't cancel. The
    version says of how many models it is the mean, so that means over other numbers of models are not compared with it.
    """
    found = []
    for rows in zip(*models, strict=True):
        assert len({(row["benchmark"], row["metric"], row["version"]) for row in rows}) == 1, rows
        means = {name: mean([row[name] for row in rows]) for name in ("value", "stderr")}
        found.append(rows[-1] | means | {"checkpoint": AVERAGE, "version": f"{rows[-1]['version']}-mean-of-{len(rows)}"})
    return found


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
