"""Random draws by document: the same wherever a document stands, others in each step that draws."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.steps.base import StepConfig, StepContext, draw_keys


def uniform(table: pa.Table, context: StepContext, step: StepConfig, purpose: str = "") -> np.ndarray:
    """A number in (0, 1) for each document, float64: a hash of its id, the study's seed, the step's name and the purpose."""
    name = f"{context.seed} {step.step} {purpose}".encode()
    seed = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little", signed=True)
    return ((draw_keys(table, seed) >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)


def leave_candidates(documents: pa.Table, limit: int | None, context: StepContext) -> Path:
    """Leaves, in the step's directory, those of a shard's documents that may be among the `limit` that `drawn` takes of all shards.

    Args:
        documents: with `id`, and whatever columns are wanted.
        limit: None takes all.
    """
    path = context.directory / f"candidates-{context.shard:06d}.parquet"
    keyed = documents.append_column("key", pa.array(draw_keys(documents, context.seed)))
    pq.write_table(keyed.sort_by("key").slice(0, limit), path)
    return path


def drawn(candidates: Sequence[Path], limit: int | None) -> pa.Table:
    """The documents with the smallest hashes of their ids, in that order: the same however they were cut into shards."""
    return pa.concat_tables([pq.read_table(path) for path in candidates]).sort_by("key").slice(0, limit)


def gumbel(uniform_D: np.ndarray) -> np.ndarray:
    """Standard Gumbel variables. The k highest of log p + Gumbel are k draws without replacement by p (arXiv 1903.06059, section 3.2)."""
    return -np.log(-np.log(uniform_D))
