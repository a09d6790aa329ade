"""The curation steps that a recipe may name. Each step's fields are beside its code; this is their union, and the registry."""

from typing import Annotated

from pydantic import Field

from tasks.steps.c4 import C4
from tasks.steps.cleaning import Normalize
from tasks.steps.decontamination import Decontaminate
from tasks.steps.exact_duplicates import ExactDuplicates
from tasks.steps.gopher_quality import GopherQuality
from tasks.steps.gopher_repetition import GopherRepetition
from tasks.steps.language import Language
from tasks.steps.line_duplicates import LineDuplicates
from tasks.steps.near_duplicates import NearDuplicates
from tasks.steps.quality import QualityClassifier
from tasks.steps.selection import TopFraction

Step = Annotated[
    Normalize
    | Language
    | GopherQuality
    | GopherRepetition
    | C4
    | ExactDuplicates
    | NearDuplicates
    | LineDuplicates
    | Decontaminate
    | QualityClassifier
    | TopFraction,
    Field(discriminator="step"),
]
