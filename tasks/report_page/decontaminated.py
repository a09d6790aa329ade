"""What `decontaminate` found in each recipe, from its `steps.json`: benchmarks, their items, and a sample of overlaps to judge false positives by."""

from pydantic import TypeAdapter

from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json

STEP = "decontaminate"


class Benchmark(Frozen):
    items: int
    judged: int  # that are long enough to look for
    documents: int  # that hold one of them


class FoundItem(Frozen):
    benchmark: str
    item: str
    documents: int


class Overlap(Frozen):
    document: str
    beginning: str
    benchmark: str
    item: str
    share: float  # of the item's n-grams that the document has
    words: int  # of the longest common piece
    text: str  # its first words


class Found(Frozen):
    """The record that the step leaves."""

    benchmarks: dict[str, Benchmark]
    items: tuple[FoundItem, ...]
    sample: tuple[Overlap, ...]


def decontaminated(recipe: str) -> list[Found]:
    """One for each such step of the recipe that saw a document."""
    path = layout.CORPORA / recipe / "steps.json"
    records = read_json(path) if path.exists() else []
    return TypeAdapter(list[Found]).validate_python([record["record"] for record in records if record["step"] == STEP and record["record"]])
