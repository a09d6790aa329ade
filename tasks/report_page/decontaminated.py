"""What `decontaminate` found in each recipe, from its `steps.json`: benchmarks, their items, and a sample of overlaps to judge false positives by."""

from pydantic import TypeAdapter

from models.frozen import Frozen
from tasks.report_page.step_records import step_records

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
    records = [record["record"] for record in step_records(recipe) if record["step"] == STEP and record["record"]]
    return TypeAdapter(list[Found]).validate_python(records)
