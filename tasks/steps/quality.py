"""A quality score learned inside the recipe: reference documents against the rest of the corpus."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from models.frozen import Name, StudyError
from models.quality_classifier import OTHER, REFERENCE
from tasks.steps.base import StepContext, draw_keys
from tasks.steps.learned_score import Fitted, LearnedScore
from tasks.steps.reference import Reference

if TYPE_CHECKING:
    import polars as pl


class QualityClassifier(LearnedScore):
    """Annotates `quality_score`: how much a document looks like the reference, by a fastText classifier trained here (the method of GPT-3, arXiv
    2005.14165, appendix A; the classifier of DCLM, arXiv 2406.11794, section 4.4). Decides nothing; a selection step does.

    The reference are the documents of `reference_domains` and `reference_sources`. As many others are drawn from the rest; both kinds as evenly
    from their domains as these last, so that a domain of many short documents does not stand for all.

    With several `classes` of reference, `quality_score` is the probability of being of any of them, and `quality_score_<class>` that of each.

    Domains differ more than qualities do. So the score ranks documents well *within* a domain (`top-fraction` does that by default); across
    domains it mostly tells these apart, as `auc_by_group` in the record shows.
    """

    step: Literal["quality-classifier"]
    reference_domains: tuple[Name, ...] = ()
    reference_sources: tuple[Name, ...] = ()
    classes: dict[Name, Reference] = Field(default={}, description="several kinds of reference, in the place of the two above")

    @model_validator(mode="after")
    def _has_reference(self) -> Self:
        if self.classes and (self.reference_domains or self.reference_sources):
            raise ValueError("quality-classifier has classes, each with its reference: leave reference_domains and reference_sources out")
        if not all(reference.domains or reference.sources for reference in self.references.values()):
            raise ValueError("quality-classifier needs reference_domains or reference_sources, or classes with domains or sources each")
        if taken := {REFERENCE, OTHER} & self.classes.keys():
            raise ValueError(f"a class of quality-classifier can't be named '{taken.pop()}'")
        return self

    @property
    def references(self) -> dict[str, Reference]:
        return dict(self.classes) or {REFERENCE: Reference(domains=self.reference_domains, sources=self.reference_sources)}

    @property
    def named_domains(self) -> dict[str, Iterable[str]]:
        return super().named_domains | {"reference_domains": [domain for reference in self.references.values() for domain in reference.domains]}

    @property
    def columns(self) -> dict[str, str]:
        return super().columns | {name: f"{self.output}_{name.replace('-', '_')}" for name in self.classes}

    def map(self, table: pa.Table, context: StepContext) -> Path:
        """The file of the shard's candidates. Row by row: a document that may be drawn."""
        import polars as pl

        candidates = pl.DataFrame(
            {
                "key": draw_keys(table, context.seed),
                "kind": self._kinds(table, context),
                "domain": pl.from_arrow(table["domain"]),
                "text": self.beginnings(table),
            }
        )
        path = context.directory / f"candidates-{context.shard:06d}.parquet"
        pq.write_table(_ranked(candidates).filter(pl.col("rank") < self.max_documents).drop("rank").to_arrow(), path)
        return path

    def _kinds(self, table: pa.Table, context: StepContext) -> np.ndarray:
        """The class that each document shows, or `other`."""
        kind_D = np.full(table.num_rows, OTHER, object)
        for name, reference in self.references.items():
            shows_D = reference.shown_by(table)
            if (both_D := shows_D & (kind_D != OTHER)).any():
                raise StudyError(
                    f"quality-classifier can't learn from document '{table['id'][int(both_D.argmax())]}' in recipe '{context.recipe}': it is of the "
                    f"classes '{kind_D[both_D][0]}' and '{name}'; leave its domain or source out of one."
                )
            kind_D[shows_D] = name
        return kind_D

    def reduce(self, digests: list[Path], context: StepContext) -> Fitted:
        import polars as pl

        drawn = self.draw(digests)
        reference = {name: drawn.filter(pl.col("kind") == name)["text"].to_list() for name in self.references}
        other = drawn.filter(pl.col("kind") == OTHER)
        return self.fitted(reference, other["text"].to_list(), other["domain"].to_list(), context)

    def draw(self, digests: list[Path]) -> "pl.DataFrame":
        """The documents to learn from, in an order that depends on nothing but them; as many of each kind."""
        import polars as pl

        ranked = pl.DataFrame()
        for path in digests:  # never more than can be drawn, and a shard's
            more = pl.read_parquet(path, columns=["key", "kind", "domain"])
            ranked = _ranked(pl.concat([ranked, more], how="diagonal")).filter(pl.col("rank") < self.max_documents)
        kinds = ranked.partition_by("kind")
        num = min(self.max_documents, *(len(kind) for kind in kinds)) if len(kinds) == len(self.references) + 1 else 0
        drawn = pl.concat([kind.sort("rank", "key").head(num) for kind in kinds])
        texts = pl.concat([pl.read_parquet(path, columns=["key", "text"]).join(drawn, on="key", how="semi") for path in digests])
        return drawn.join(texts, on="key", how="left", maintain_order="left")


def _ranked(candidates: "pl.DataFrame") -> "pl.DataFrame":
    """With each document's place among those of its kind and domain, by its key."""
    import polars as pl

    return candidates.sort("key").with_columns(rank=pl.int_range(pl.len()).over("kind", "domain"))
