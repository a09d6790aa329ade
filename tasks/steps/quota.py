"""Keeps so much of each domain, best first."""

from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from models.frozen import Name
from tasks.steps.ranked import RankedSelection


class DomainQuota(RankedSelection):
    """Keeps, of each domain that has a quota, the documents with the highest scores up to that many documents or bytes. Domains without a quota
    stay whole. A quota in bytes is never exceeded: the first document that would ends it."""

    step: Literal["domain-quota"]
    quotas: dict[Name, PositiveInt] = Field(min_length=1, description="by domain: documents, or UTF-8 bytes of text")
    unit: Literal["documents", "bytes"] = "documents"
    low_reason = "over quota"

    @model_validator(mode="after")
    def _is_by_domain(self) -> Self:
        if self.by is None:
            raise ValueError("domain-quota is by domain: leave `by` out, or take top-fraction")
        return self

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"quotas": self.quotas}

    def places(self, group: str, bytes_D: np.ndarray) -> tuple[int, int]:
        if group not in self.quotas:
            return 0, len(bytes_D)
        if self.unit == "documents":
            return 0, min(self.quotas[group], len(bytes_D))
        return 0, int(np.searchsorted(np.cumsum(bytes_D), self.quotas[group], "right"))
