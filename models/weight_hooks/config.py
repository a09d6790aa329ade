"""Every hook that a mixture may have."""

from typing import Annotated

from pydantic import Field

from models.weight_hooks.aioli import Aioli
from models.weight_hooks.doremi import DoReMi
from models.weight_hooks.sample_reweighting import SampleReweighting
from models.weight_hooks.skill_it import SkillIt

Hook = Annotated[DoReMi | SkillIt | Aioli | SampleReweighting, Field(discriminator="hook")]
