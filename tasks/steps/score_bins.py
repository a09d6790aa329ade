"""Domains parted by quality."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter, ValidationError

from models.frozen import Name, StudyError
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA
from tasks.steps.base import StepContext, StepOutcome, set_column
from tasks.steps.byte_ranks import ByteRanked, Ranks


class ScoreBins(ByteRanked):
    """Parts each domain by score into `<domain>-q1`, the best, `<domain>-q2`, ..., each with about as many bytes; equal scores stay together.
    Documents without a score keep their domain.

    How often documents of each quality are read is then a matter of weights. QuaDMix searches it by many small runs (arXiv 2504.16511, section 3.2):
    so does a swarm over these domains, with a step function of the rank in the place of the paper's sigmoid (`quadmix` has that).
    """

    step: Literal["score-bins"]
    bins: int = Field(default=4, ge=2, le=20, description="of each domain")

    @property
    def finds_domains(self) -> bool:
        return True

    def apply(self, table: pa.Table, state: dict[str, Ranks], context: StepContext) -> StepOutcome:
        """Raises:
        StudyError: when a name becomes too long.
        """
        rank_D, domain_D = self.ranks(table, state, context), table["domain"].to_pylist()
        bin_D = np.ceil(np.round(np.nan_to_num(rank_D) * self.bins, 9)).astype(int)
        named = [f"{domain}-q{bin}" if bin else domain for domain, bin in zip(domain_D, bin_D.tolist(), strict=True)]
        try:
            TypeAdapter(set[Name]).validate_python(set(named))
        except ValidationError:
            longest = max(named, key=len)
            raise StudyError(f"score-bins, recipe '{context.recipe}': '{longest}' is too long for a domain: give its source a shorter one.") from None
        return StepOutcome(set_column(table, DOCUMENT_SCHEMA.field("domain"), pa.array(named, pa.string())), REMOVED_SCHEMA.empty_table())
