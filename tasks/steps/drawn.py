"""Documents drawn by a hash of their ids, out of files with candidates of every shard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.steps.base import StepContext, draw_keys


def leave_candidates(documents: pa.Table, num: int | None, context: StepContext) -> Path:
    """Leaves, in the step's directory, those of a shard's documents that may be among the `num` (all when None) that `smallest_keys` takes, with
    their `key`: random over ids and seeds."""
    path = context.directory / f"candidates-{context.shard:06d}.parquet"
    keyed = documents.append_column("key", pa.array(draw_keys(documents, context.seed)))
    pq.write_table(keyed.sort_by("key").slice(0, num), path)
    return path


def smallest_keys(candidates: Sequence[Path], num: int | None) -> pa.Table:
    """The `num` rows (all when None) with the smallest `key` of the files together (one at least), in the order of their keys. In memory are
    these, and one file's."""
    keys = np.empty(0, np.uint64)
    for path in candidates:
        keys = np.sort(np.concatenate([keys, pq.read_table(path, columns=["key"])["key"].to_numpy()]))[:num]
    largest = pa.scalar(keys[-1] if len(keys) else 0, pa.uint64())
    parts = [table.filter(pc.less_equal(table["key"], largest)) for table in map(pq.read_table, candidates)]
    return pa.concat_tables(parts).sort_by("key").slice(0, num)
