"""What the corpus steps of a recipe learned, from its `steps.json`: each classifier's AUC and calibration, each choice's bounds.

What decontamination found is no number: decontaminated.py has it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tasks.report_page.decontaminated import STEP as DECONTAMINATE
from tasks.report_page.step_records import step_records


class Learned(NamedTuple):
    step: str
    what: str
    value: float | str | None


def learned(recipe: str) -> list[Learned]:
    """In the order of the steps; empty for a recipe without such steps."""
    records = [record for record in step_records(recipe) if record["step"] != DECONTAMINATE]
    return [Learned(record["step"], what, value) for record in records for what, value in _flat(record["record"] or {})]


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each number and text in a record, with the way to it in words."""
    if isinstance(value, dict) and {"mean_score", "reference_share", "num_texts"} == value.keys():
        bin = f"mean score {value['mean_score']:.2f} in {value['num_texts']:,} texts: share of reference"
        yield ", ".join([*path[:-1], bin]), value["reference_share"]
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value, 1):
            yield from _flat(part, (*path, str(key).replace("_", " ")))
    else:
        yield ", ".join(path), value
