"""What a curation step is. A step is its own configuration: a frozen model whose `step` names it, with the code that it configures.

A step annotates (adds columns), decides (drops, with a reason) or rewrites the text. Two shapes:

- `BatchStep`: a pure function of one batch of documents, row by row; runs of them are fused over a shard without files between.
- `CorpusStep`: needs the whole corpus. `map` digests every shard (in worker processes), `reduce` makes one state of all digests
  (in one process), `apply` decides every shard with that state. It is a barrier.

What a step does to a document may depend on the study's seed and on the documents, never on how these were cut into shards, on their
order or on the number of workers.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import Frozen, Name
from tasks.documents import REMOVED_SCHEMA


@dataclass(frozen=True)
class StepContext:
    """Where a step runs. Picklable: it travels to worker processes."""

    seed: int
    recipe: str
    directory: Path  # the step's own, for digests and states too large to keep in memory; removed when the recipe is done
    shard: int = 0  # number of the input shard: good for names of files, never for a decision


class StepOutcome(NamedTuple):
    kept: pa.Table  # rows that stay, in their order, perhaps rewritten or with further columns
    removed: pa.Table  # REMOVED_SCHEMA; the driver fills in `step`


class StepConfig(Frozen):
    """What all steps share."""

    step: Any  # one literal in each step
    version: ClassVar[int] = (
        1  # raised when the step does something else than before, be it by a library's doing (tests/golden); it is code, so DVC sees it
    )
    gates: ClassVar[frozenset[str]] = frozenset({"max_removed", "max_removed_of_source"})  # fields that stop a recipe and change no document
    skip_domains: tuple[Name, ...] = Field(default=(), description="domains whose documents pass this step untouched and unseen")
    max_removed: float = Field(
        default=0.5, gt=0, le=1, description="of all documents, or bytes, that come in: a step that removes more stops the recipe; 1 allows all"
    )
    max_removed_of_source: float = Field(default=0.75, gt=0, le=1, description="the same for every single source")

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        """The domains that this step's configuration names, by the field that does; the study checks that there are such."""
        return {"skip_domains": self.skip_domains}

    @property
    def finds_domains(self) -> bool:
        """Whether documents have other domains behind this step, which nobody can know before."""
        return False

    def annotations(self) -> pa.Schema:
        """The columns that this step adds (or overwrites), nullable: documents of skipped domains have null there."""
        return pa.schema([])

    def reads(self) -> list[Path]:
        """Files besides the corpus that decide what the step does, in an order that they alone determine."""
        return []


class AskedRemoval(StepConfig):
    """A step of which people say how much shall go, or that all but text shall: its gates are open until somebody closes them."""

    max_removed: float = Field(default=1, gt=0, le=1, description="of all documents, or bytes, that come in: more stops the recipe")
    max_removed_of_source: float = Field(default=1, gt=0, le=1, description="the same for every single source")


class BatchStep(StepConfig):
    """A step that looks at one document at a time."""

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        raise NotImplementedError


class CorpusStep(StepConfig):
    """A step that needs the whole corpus."""

    def map(self, table: pa.Table, context: StepContext) -> Any:
        """A small, picklable digest of one shard (Arrow tables are). Larger things go to files in `context.directory`."""
        raise NotImplementedError

    def reduce(self, digests: list[Any], context: StepContext) -> Any:
        """The state, picklable and small: it is sent along with every shard. `digests` come in the order of the shards."""
        raise NotImplementedError

    def apply(self, table: pa.Table, state: Any, context: StepContext) -> StepOutcome:
        raise NotImplementedError

    def record(self, state: Any) -> dict[str, Any]:
        """What a reader should know of the state, in JSON types; goes to `steps.json` beside the funnel."""
        return {}


def decide(table: pa.Table, reason: Any, value: Any = None, threshold: Any = None) -> StepOutcome:
    """Splits a batch by decision.

    Args:
        reason: string array, one per row; null keeps the row.
        value, threshold: float arrays, one per row, or one number for all: what was measured and the bound that it broke.
    """
    reason = _column(reason, table.num_rows, pa.string())
    dropped = pc.is_valid(reason)
    if not pc.any(dropped).as_py():
        return StepOutcome(table, REMOVED_SCHEMA.empty_table())
    decisions = {
        "step": _column(None, table.num_rows, pa.string()),
        "reason": reason,
        "value": _column(value, table.num_rows, pa.float64()),
        "threshold": _column(threshold, table.num_rows, pa.float64()),
    }
    documents = {name: table[name] for name in ("id", "text", "source", "domain")}
    removed = pa.table({**documents, **decisions}).filter(dropped).cast(REMOVED_SCHEMA)
    return StepOutcome(table.filter(pc.invert(dropped)), removed)


def set_column(table: pa.Table, field: pa.Field, values: Any) -> pa.Table:
    """Adds the column, or puts it in the place of the one that has its name."""
    values = _column(values, table.num_rows, field.type)
    index = table.schema.get_field_index(field.name)
    return table.append_column(field, values) if index < 0 else table.set_column(index, field, values)


def draw_keys(table: pa.Table, seed: int) -> np.ndarray:
    """A number for each document by which to draw or to break ties: random over ids and seeds, the same wherever the document stands; uint64."""
    salt = seed.to_bytes(16, "little", signed=True)
    return np.frombuffer(b"".join(hashlib.blake2b(id.encode(), digest_size=8, salt=salt).digest() for id in table["id"].to_pylist()), np.uint64)


def _column(values: Any, num_rows: int, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(type_)
    if values is None or isinstance(values, int | float | str):
        return pa.repeat(pa.scalar(values, type_), num_rows)
    return pa.array(values, type_)
