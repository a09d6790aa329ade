"""One document of those with equal text."""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from tasks.steps.base import StepContext
from tasks.steps.duplicates import Duplicates, DuplicateStep, Shard, identified
from tasks.steps.normalised_text import digests, normalised


class ExactDuplicates(DuplicateStep):
    """Keeps one of the documents whose texts are equal but for case, white space and Unicode composition (NFC)."""

    step: Literal["exact-duplicates"]
    reason: ClassVar[str] = "exact-duplicate"

    @property
    def threshold(self) -> float:
        return 1.0

    def map(self, table: pa.Table, context: StepContext) -> Shard:
        digest = pa.array(digests(normalised(table["text"])).tolist(), pa.binary())
        return Shard(identified(table).append_column("digest", digest))

    def reduce(self, digests: list[Shard], context: StepContext) -> Duplicates:
        documents = pa.concat_tables([shard.documents for shard in digests]).sort_by("id")
        group_D = documents["digest"].combine_chunks().dictionary_encode().indices.to_numpy()
        survivor_D, summary = self.survivors(documents, group_D)
        removed = np.flatnonzero(survivor_D != np.arange(len(survivor_D)))
        return Duplicates(pa.table({"id": documents["id"].take(removed), "similarity": np.ones(len(removed))}), summary)
