"""One document of those with equal text."""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from tasks.steps.base import StepContext
from tasks.steps.duplicates import DuplicateStep, Groups, Shard, digest, known
from tasks.steps.normalised_text import digests, normalised


class ExactDuplicates(DuplicateStep):
    """Keeps one of the documents whose texts are equal but for case, white space and Unicode composition (NFC): the longest, and of several longest
    the one with the smallest id. Annotates `cluster_size`, the number of documents that it stands for."""

    step: Literal["exact-duplicates"]
    version: ClassVar[int] = 2
    reason: ClassVar[str] = "exact-duplicate"

    @property
    def threshold(self) -> float:
        return 1.0

    def map(self, table: pa.Table, context: StepContext) -> Shard:
        halves_D2 = digests(normalised(table["text"])).view("<u8").reshape(-1, 2)
        return digest(table, context, low=pa.array(halves_D2[:, 0]), high=pa.array(halves_D2[:, 1]))

    def groups(self, shards: list[Shard], order_D: np.ndarray, context: StepContext) -> Groups:
        low_D, high_D = (known(shards)[half].to_numpy()[order_D] for half in ("low", "high"))
        sorted_D = np.lexsort((low_D, high_D))
        differs_D = (np.diff(low_D[sorted_D], prepend=0) != 0) | (np.diff(high_D[sorted_D], prepend=0) != 0)
        group_D = np.empty(len(order_D), np.int64)
        group_D[sorted_D] = np.cumsum(differs_D)
        return Groups(group_D, lambda first, second: np.ones(len(first)))
