"""What the corpus steps of a recipe left to say of themselves: its `steps.json`."""

from typing import Any

from tasks import layout
from tasks.atomic import read_json


def step_records(recipe: str) -> list[dict[str, Any]]:
    """`step` and `record` of each, in their order; empty for a recipe without such steps."""
    path = layout.CORPORA / recipe / "steps.json"
    return read_json(path) if path.exists() else []
