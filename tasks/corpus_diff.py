"""What one recipe drops that another keeps: `python -m tasks.corpus_diff clean quality` says what `quality` drops of what `clean` keeps."""

import hashlib

import polars as pl

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.stage import main
from tasks.study import Study, lineage

SAMPLE = 3  # documents shown of each group
_BEGINNING_CHARACTERS = 100
_NOWHERE = "not in it"  # of documents that no step of the recipe removed: they were not in what it began with


class Shown(Frozen):
    id: str
    value: float | None
    beginning: str


class Dropped(Frozen):
    """What one step drops of one domain and source for one reason."""

    step: str
    reason: str
    domain: str
    source: str
    documents: int
    bytes: int  # UTF-8, of the text that the other recipe keeps
    values: tuple[float, float, float] | None  # least, median and most of what the step measured
    threshold: float | None  # the most common one
    sample: tuple[Shown, ...]


class CorpusDiff(Frozen):
    keeps: str
    drops: str
    documents: int  # that `keeps` keeps
    rewritten: int  # that both keep, with other text
    dropped: tuple[Dropped, ...]  # most bytes first


def corpus_diff(study: Study, keeps: str, drops: str) -> CorpusDiff:
    """Reads both corpora and what led from the pool to the second one.

    Raises:
        StudyError: when a recipe is not in the study, or was not run.
    """
    kept, other = (_kept(study, name).select("id", "domain", "source", "text") for name in (keeps, drops))
    gone = kept.join(other.select("id"), on="id", how="anti").join(_removed(study, drops), on="id", how="left").collect()
    both = kept.join(other.select("id", now="text"), on="id")
    counts = pl.concat([kept.select(pl.len()), both.filter(pl.col("now") != pl.col("text")).select(pl.len())]).collect().to_series()
    salt = study.seed.to_bytes(16, "little", signed=True)
    drawn = gone.with_columns(
        pl.col("step", "reason").fill_null(_NOWHERE),
        bytes=pl.col("text").str.len_bytes(),
        beginning=pl.col("text").str.slice(0, _BEGINNING_CHARACTERS),
        key=pl.col("id").map_elements(lambda id: hashlib.blake2b(id.encode(), digest_size=8, salt=salt).digest(), pl.Binary),
    ).sort("key", "id")
    groups = drawn.group_by("step", "reason", "domain", "source").agg(
        documents=pl.len(),
        bytes=pl.col("bytes").sum(),
        values=pl.concat_list(pl.col("value").min(), pl.col("value").median(), pl.col("value").max()),
        threshold=pl.col("threshold").drop_nulls().mode().min(),
        sample=pl.struct("id", "value", "beginning").head(SAMPLE),
    )
    ordered = groups.sort(["bytes", "step", "reason", "domain", "source"], descending=[True, False, False, False, False])
    rows = [row | {"values": None if None in row["values"] else row["values"]} for row in ordered.to_dicts()]
    return CorpusDiff(keeps=keeps, drops=drops, documents=counts[0], rewritten=counts[1], dropped=tuple(map(Dropped.model_validate, rows)))


def _kept(study: Study, name: str) -> pl.LazyFrame:
    if name != layout.POOL and name not in study.recipes:
        raise StudyError(f"There is no recipe '{name}': the study has {', '.join([layout.POOL, *study.recipes])}.")
    if not layout.kept(name).exists():
        raise StudyError(f"There are no documents in {layout.kept(name)}: run the stage that writes it (`dvc repro`), or `dvc checkout`.")
    return pl.scan_parquet(layout.kept(name) / "*.parquet")


def _removed(study: Study, name: str) -> pl.LazyFrame:
    """Row by row: a document that a step on the way from the pool to the recipe removed."""
    corpora = [layout.POOL, *(lineage(study.recipes, name) if name != layout.POOL else [])]
    columns = ("id", "step", "reason", "value", "threshold")
    return pl.concat([pl.scan_parquet(layout.removed(corpus) / "*.parquet").select(columns) for corpus in corpora])


def print_diff(study: Study, keeps: str, drops: str) -> None:
    diff = corpus_diff(study, keeps, drops)
    documents, size = sum(group.documents for group in diff.dropped), sum(group.bytes for group in diff.dropped)
    print(
        f"'{drops}' drops {documents:,} of the {diff.documents:,} documents that '{keeps}' keeps ({size / 1e6:.1f} MB); rewrites {diff.rewritten:,}."
    )
    for group in diff.dropped:
        values = "" if group.values is None else f"; {' / '.join(f'{value:.4g}' for value in group.values)} (least, median, most)"
        bound = "" if group.threshold is None else f", threshold {group.threshold:.4g}"
        whose = f"{group.step}, {group.reason}: {group.domain}, {group.source}"
        print(f"\n{whose}: {group.documents:,} documents, {group.bytes / 1e6:.2f} MB{values}{bound}")
        for shown in group.sample:
            value = "" if shown.value is None else f" {shown.value:.4g}"
            print(f"  {shown.id}{value} {shown.beginning!r}")


if __name__ == "__main__":
    main(print_diff)
