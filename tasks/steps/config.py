"""The curation steps that a recipe may name. Each step's fields are beside its code; this is their union, and the registry."""

from typing import Annotated

from pydantic import Field

from tasks.steps.boilerplate import BoilerplateLines
from tasks.steps.c4 import C4
from tasks.steps.cleaning import Normalize
from tasks.steps.dates import DateSlice
from tasks.steps.exact_duplicates import ExactDuplicates
from tasks.steps.fineweb import FineWeb
from tasks.steps.fitted_rules import FittedRules
from tasks.steps.gopher_quality import GopherQuality
from tasks.steps.gopher_repetition import GopherRepetition
from tasks.steps.html import HtmlToText
from tasks.steps.language import Language
from tasks.steps.licenses import LicenseAllowList
from tasks.steps.mojibake import Mojibake
from tasks.steps.near_duplicates import NearDuplicates
from tasks.steps.pii import MaskPii
from tasks.steps.quality import QualityClassifier
from tasks.steps.selection import TopFraction
from tasks.steps.url_list import UrlBlockList

Step = Annotated[
    HtmlToText
    | Mojibake
    | Normalize
    | BoilerplateLines
    | MaskPii
    | UrlBlockList
    | LicenseAllowList
    | DateSlice
    | Language
    | GopherQuality
    | GopherRepetition
    | C4
    | FineWeb
    | FittedRules
    | ExactDuplicates
    | NearDuplicates
    | QualityClassifier
    | TopFraction,
    Field(discriminator="step"),
]
