"""What steps share that keep one document of each group of duplicates: the longest, and of several longest the one with the smallest id."""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide

# A cluster of fewer documents is never implausible, whatever its share of a small corpus.
PLAUSIBLE_CLUSTER_DOCUMENTS = 100
_BEGINNING_CHARACTERS = 60  # of a document, shown where a cluster is refused


class Duplicates(NamedTuple):
    """The state of both steps. Row by row: a document to remove, and its similarity to the one that survives."""

    removed: pa.Table  # id, similarity
    summary: dict[str, Any]


class Shard(NamedTuple):
    """A shard's digest. Row by row: a document."""

    documents: pa.Table  # id, bytes, beginning; and for exact duplicates digest
    files: Path | None = None  # name without ending of the shard's `.keys.npy` and `.signatures.npy`


class DuplicateStep(CorpusStep):
    """What both steps share."""

    gates: ClassVar[frozenset[str]] = CorpusStep.gates | {"max_cluster_share"}
    max_cluster_share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description=f"of all documents: a larger group of duplicates (of at least {PLAUSIBLE_CLUSTER_DOCUMENTS}) stops the recipe; 1 allows all",
    )
    reason: ClassVar[str]

    @property
    def threshold(self) -> float | None:
        raise NotImplementedError

    def apply(self, table: pa.Table, state: Duplicates, context: StepContext) -> StepOutcome:
        found = pc.index_in(table["id"], value_set=state.removed["id"])
        reason = pc.if_else(pc.is_valid(found), pa.scalar(self.reason), pa.scalar(None, pa.string()))
        return decide(table, reason, pc.take(state.removed["similarity"], found), self.threshold)

    def record(self, state: Duplicates) -> dict[str, Any]:
        return state.summary

    def survivors(self, documents: pa.Table, group_D: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Per document, the one of its group that survives; and the figures of all groups.

        Args:
            documents: id, bytes, beginning; sorted by id.
            group_D: a number per document, equal for duplicates.

        Raises:
            StudyError: when a group is implausibly large.
        """
        num = len(group_D)
        by_group = np.lexsort((np.arange(num), -documents["bytes"].to_numpy(), group_D))
        groups, first, group_D, sizes = np.unique(group_D[by_group], return_index=True, return_inverse=True, return_counts=True)
        survivor_of_group = by_group[first]
        survivor_D = np.empty(num, np.int64)
        survivor_D[by_group] = survivor_of_group[group_D]
        largest = np.lexsort((survivor_of_group, -sizes))[:5]
        for group in largest[:1]:
            if sizes[group] >= PLAUSIBLE_CLUSTER_DOCUMENTS and sizes[group] > self.max_cluster_share * num:
                members = documents.filter(pa.array(survivor_D == survivor_of_group[group])).slice(0, 3).to_pylist()
                examples = "; ".join(f"{member['id']} {member['beginning']!r}" for member in members)
                raise StudyError(
                    f"{self.step}: {sizes[group]:,} of {num:,} documents would be duplicates of one another, more than max_cluster_share "
                    f"{self.max_cluster_share:g} allows ({examples}): raise it if that is right, else make the step stricter."
                )
        summary = {
            "documents": num,
            "groups": int((sizes > 1).sum()),
            "removed": num - len(groups),
            "largest": [
                {"survivor": documents["id"][int(survivor_of_group[group])].as_py(), "documents": int(sizes[group])}
                for group in largest
                if sizes[group] > 1
            ],
        }
        return survivor_D, summary


def identified(table: pa.Table) -> pa.Table:
    """What is needed of each document to choose a survivor and to show it: id, bytes, beginning."""
    text = table["text"]
    sizes = pc.cast(pc.binary_length(text), pa.int64())
    return pa.table({"id": table["id"], "bytes": sizes, "beginning": pc.utf8_slice_codeunits(text, 0, _BEGINNING_CHARACTERS)})
