"""Tables and arrays on disk that are looked at as if they were in memory: what steps leave between `map`, `reduce` and `apply`."""

import mmap
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.atomic import replace_file


def write_mapped(table: pa.Table, path: Path) -> None:
    """As `read_mapped` reads it."""
    with replace_file(path) as partial, pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_mapped(path: Path) -> pa.Table:
    """Zero-copy: the system reads what is looked at, and drops it when memory is short."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def release(array: np.memmap) -> None:
    """Takes what was read or written of a mapped array out of this process' memory, in which it would stay; the file keeps it."""
    assert isinstance(array.base, mmap.mmap)
    array.base.madvise(mmap.MADV_DONTNEED)
