"""Documents by their licence."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.steps.base import AskedRemoval, BatchStep, StepContext, StepOutcome, decide


class LicenseAllowList(AskedRemoval, BatchStep):
    """Keeps documents whose `license` may be trained on, as MixtureVitae does (arXiv 2509.25531).

    Licences are compared as they stand, in any case; SPDX identifiers (`CC-BY-SA-4.0`) are best. One that ends with `*` allows all that begin so.
    """

    step: Literal["license-allow-list"]
    allow: tuple[str, ...] = Field(min_length=1, description="such as `CC0-1.0` or `CC-BY-*`")
    allow_unknown: bool = Field(default=False, description="keep documents of which no licence is known")

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        license_D = pc.utf8_lower(table["license"])
        allowed = pc.is_in(license_D, pa.array([allowed.lower() for allowed in self.allow]))
        for pattern in self.allow:
            if pattern.endswith("*"):
                allowed = pc.or_(allowed, pc.fill_null(pc.starts_with(license_D, pattern[:-1].lower()), False))
        known = pc.is_valid(license_D)
        kept = pc.if_else(known, allowed, pa.scalar(self.allow_unknown))
        reason = pc.if_else(known, pc.binary_join_element_wise("license", table["license"], " "), "license unknown")
        return decide(table, pc.if_else(kept, pa.scalar(None, pa.string()), reason))
