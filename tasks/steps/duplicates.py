"""What steps share that keep one document of each group of duplicates: the longest, and of several longest the one with the smallest id.

What is known of the documents is in files of the step's directory, memory-mapped; in memory are some numbers per document (about 100 bytes), and of
a shard what becomes of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.frozen import StudyError
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide, set_column
from tasks.steps.mapped_tables import read_mapped, write_mapped

# A cluster of fewer documents is never implausible, whatever its share of a small corpus.
PLAUSIBLE_CLUSTER_DOCUMENTS = 100
CLUSTER_SIZE = pa.field("cluster_size", pa.int64())
_BEGINNING_CHARACTERS = 60  # of a document, shown where a cluster is refused


class Shard(NamedTuple):
    """A shard's digest: how its files are called, but for what they hold. `.arrow` has a row per document: id, bytes, cluster_size, beginning."""

    files: Path
    number: int


class Groups(NamedTuple):
    """Of D documents in the order of their ids."""

    group_D: np.ndarray  # equal for duplicates
    similarity: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (documents, others), both shape (pairs,) -> shape (pairs,)


class Duplicates(NamedTuple):
    """The state: where the members of groups are (`members`), and the figures of all groups."""

    directory: Path
    summary: dict[str, Any]


class DuplicateStep(CorpusStep):
    """What these steps share. The survivor's `cluster_size` is the number of documents that it stands for, itself among them, over all such steps."""

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

    def groups(self, shards: list[Shard], order_D: np.ndarray, context: StepContext) -> Groups:
        """Args:
        order_D: the place in the shards, one after the other, of the document with the smallest id, the next one, ...
        """
        raise NotImplementedError

    def annotations(self) -> pa.Schema:
        return pa.schema([CLUSTER_SIZE])

    def reduce(self, digests: list[Shard], context: StepContext) -> Duplicates:
        order_D = pc.sort_indices(known(digests)["id"]).to_numpy()
        groups = self.groups(digests, order_D, context)
        survivor_D, summary = self._survivors(digests, order_D, groups.group_D)
        size_D = np.bincount(survivor_D, known(digests)["cluster_size"].to_numpy()[order_D], len(survivor_D)).astype(np.int64)
        (member_M,) = np.nonzero(np.bincount(survivor_D)[survivor_D] > 1)
        similarity_M = groups.similarity(member_M, survivor_D[member_M])
        row_M = order_D[member_M]
        start = 0
        for shard in digests:
            table = known([shard])
            (mine,) = np.nonzero((row_M >= start) & (row_M < start + table.num_rows))
            member = member_M[mine]
            write_mapped(
                pa.table(
                    {
                        "id": table["id"].take(pa.array(row_M[mine] - start)),
                        "similarity": pa.array(similarity_M[mine], mask=survivor_D[member] == member),
                        "cluster_size": size_D[survivor_D[member]],
                    }
                ),
                members(context.directory, shard.number),
            )
            start += table.num_rows
        return Duplicates(context.directory, summary)

    def apply(self, table: pa.Table, state: Duplicates, context: StepContext) -> StepOutcome:
        found = read_mapped(members(state.directory, context.shard))
        member = pc.index_in(table["id"], value_set=found["id"])
        similarity = pc.take(found["similarity"], member)
        table = set_column(table, CLUSTER_SIZE, pc.coalesce(pc.take(found["cluster_size"], member), *cluster_sizes(table)))
        return decide(table, pc.if_else(pc.is_valid(similarity), self.reason, pa.scalar(None, pa.string())), similarity, self.threshold)

    def record(self, state: Duplicates) -> dict[str, Any]:
        return state.summary

    def _survivors(self, shards: list[Shard], order_D: np.ndarray, group_D: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Per document, the one of its group that survives; and the figures of all groups.

        Raises:
            StudyError: when a group is implausibly large.
        """
        num = len(group_D)
        by_group = np.lexsort((np.arange(num), -known(shards)["bytes"].to_numpy()[order_D], group_D))
        groups, first, group_D, sizes = np.unique(group_D[by_group], return_index=True, return_inverse=True, return_counts=True)
        survivor_of_group = by_group[first]
        survivor_D = np.empty(num, np.int64)
        survivor_D[by_group] = survivor_of_group[group_D]
        largest = np.lexsort((survivor_of_group, -sizes))[:5]
        for group in largest[:1]:
            if sizes[group] >= PLAUSIBLE_CLUSTER_DOCUMENTS and sizes[group] > self.max_cluster_share * num:
                (rows,) = np.nonzero(survivor_D == survivor_of_group[group])
                examples = "; ".join(f"{member['id']} {member['beginning']!r}" for member in known(shards).take(order_D[rows[:3]]).to_pylist())
                raise StudyError(
                    f"{self.step}: {sizes[group]:,} of {num:,} documents would be duplicates of one another, more than max_cluster_share "
                    f"{self.max_cluster_share:g} allows ({examples}): raise it if that is right, else make the step stricter."
                )
        ids = known(shards)["id"].take(order_D[survivor_of_group[largest]]).to_pylist()
        summary = {
            "documents": num,
            "groups": int((sizes > 1).sum()),
            "removed": num - len(groups),
            "largest": [{"survivor": id, "documents": int(sizes[group])} for id, group in zip(ids, largest, strict=True) if sizes[group] > 1],
        }
        return survivor_D, summary


def digest(table: pa.Table, context: StepContext, **columns: pa.Array) -> Shard:
    """Leaves what is needed of each document to choose a survivor and to show it, with further columns."""
    shard = Shard(context.directory / f"documents-{context.shard:06d}", context.shard)
    text = table["text"]
    sizes = pc.cast(pc.binary_length(text), pa.int64())
    beginnings = pc.utf8_slice_codeunits(text, 0, _BEGINNING_CHARACTERS)
    cluster_size = pc.coalesce(*cluster_sizes(table))
    known = {"id": table["id"], "bytes": sizes, "cluster_size": cluster_size, "beginning": beginnings}
    write_mapped(pa.table({**known, **columns}), shard.files.with_suffix(".arrow"))
    return shard


def known(shards: list[Shard]) -> pa.Table:
    """What `digest` left of all their documents, mapped anew each time: what was looked at stays in memory as long as the table does."""
    return pa.concat_tables([read_mapped(shard.files.with_suffix(".arrow")) for shard in shards])


def cluster_sizes(table: pa.Table) -> list[pa.ChunkedArray | pa.Array]:
    """To be coalesced: what an earlier step found, then 1."""
    ones = pa.repeat(pa.scalar(1, CLUSTER_SIZE.type), table.num_rows)
    return [table[CLUSTER_SIZE.name], ones] if CLUSTER_SIZE.name in table.column_names else [ones]


def members(directory: Path, shard: int) -> Path:
    """Row by row: a document of a group, its similarity to the survivor (null for the survivor itself), and the documents that that stands for."""
    return directory / f"members-{shard:06d}.arrow"
