"""What one recipe drops that another keeps: `python -m tasks.corpus_diff clean quality` says what `quality` drops of what `clean` keeps."""

import polars as pl

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.document_tokens import beside, read_with_tokens
from tasks.stage import main
from tasks.steps.base import draw_keys
from tasks.study import Study, lineage

SAMPLE = 3  # documents shown of each group
_BEGINNING_CHARACTERS = 300
_PRINTED_CHARACTERS = 100
_NOWHERE = "not in it"  # of documents that no step of the recipe removed: they were not in what it began with
_GROUP = ["step", "reason", "domain", "source"]


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
    tokens: int | None  # of the same; None when the other recipe is not tokenized
    values: tuple[float, float, float] | None  # least, median and most of what the step measured
    threshold: float | None  # the most common one
    sample: tuple[Shown, ...]


class OfDomain(Frozen):
    """What one recipe keeps of a domain, and how much of it the other one drops."""

    domain: str
    documents: int
    bytes: int
    tokens: int | None
    dropped_documents: int
    dropped_bytes: int
    dropped_tokens: int | None


class CorpusDiff(Frozen):
    keeps: str
    drops: str
    documents: int  # that `keeps` keeps
    rewritten: int  # that both keep, with other text
    domains: tuple[OfDomain, ...]  # by name
    dropped: tuple[Dropped, ...]  # most bytes first


def corpus_diff(study: Study, keeps: str, drops: str) -> CorpusDiff:
    """Reads both corpora and what led from the pool to the second one; in memory are a shard's text and some numbers per dropped document.

    Raises:
        StudyError: when a recipe is not in the study, or was not run.
    """
    _kept(study, keeps)
    other, steps = _kept(study, drops).select("id", now="text"), _removed(study, drops)
    domains, dropped, rewritten = [], [], 0
    for table in read_with_tokens(keeps, ["id", "domain", "source", "text"]):
        near = beside(table)
        kept = pl.DataFrame(pl.from_arrow(table)).with_columns(bytes=pl.col("text").str.len_bytes(), key=draw_keys(table, study.seed))
        both = kept.join(other.filter(near).collect(), on="id", how="left")
        rewritten += both.filter(pl.col("now") != pl.col("text")).height
        domains.append(_by_domain(both))
        dropped.append(_without_text(both.filter(pl.col("now").is_null()).join(steps.filter(near).collect(), on="id", how="left")))
    of_domains = pl.concat(domains).group_by("domain").agg(map(known_sum, domains[0].columns[1:])).sort("domain")
    return CorpusDiff(
        keeps=keeps,
        drops=drops,
        documents=of_domains["documents"].sum(),
        rewritten=rewritten,
        domains=tuple(map(OfDomain.model_validate, of_domains.to_dicts())),
        dropped=_groups(pl.concat(dropped)),
    )


def known_sum(column: str) -> pl.Expr:
    """Null when one of the values is."""
    return pl.when(pl.col(column).is_null().any()).then(None).otherwise(pl.col(column).sum()).alias(column)


def _by_domain(both: pl.DataFrame) -> pl.DataFrame:
    amounts = both.select("domain", "bytes", "tokens", gone=pl.col("now").is_null().cast(pl.Int64), documents=pl.lit(1, pl.Int64))
    names = ("documents", "bytes", "tokens")
    amounts = amounts.with_columns((pl.col(name) * pl.col("gone")).alias(f"dropped_{name}") for name in names)
    return amounts.group_by("domain").agg(known_sum(name) for name in (*names, *(f"dropped_{name}" for name in names)))


def _without_text(dropped: pl.DataFrame) -> pl.DataFrame:
    """But for the beginnings of those that may be in their group's sample."""
    named = dropped.with_columns(pl.col("step", "reason").fill_null(_NOWHERE)).sort("key", "id")
    shown = pl.int_range(pl.len()).over(_GROUP) < SAMPLE
    beginning = pl.col("text").str.slice(0, _BEGINNING_CHARACTERS)
    numbers = ("value", "threshold", "bytes", "tokens", "key")
    return named.select(pl.col(_GROUP).cast(pl.Categorical), *numbers, id=pl.when(shown).then("id"), beginning=pl.when(shown).then(beginning))


def _groups(dropped: pl.DataFrame) -> tuple[Dropped, ...]:
    groups = (
        dropped.sort("key", "id")
        .group_by(_GROUP)
        .agg(
            documents=pl.len(),
            bytes=pl.col("bytes").sum(),
            tokens=known_sum("tokens"),
            values=pl.concat_list(pl.col("value").min(), pl.col("value").median(), pl.col("value").max()),
            threshold=pl.col("threshold").drop_nulls().mode().min(),
            sample=pl.struct("id", "value", "beginning").head(SAMPLE),
        )
        .with_columns(pl.col(_GROUP).cast(pl.String))
        .sort("bytes", *_GROUP, descending=[True, False, False, False, False])
    )
    rows = [row | {"values": None if None in row["values"] else row["values"]} for row in groups.to_dicts()]
    return tuple(map(Dropped.model_validate, rows))


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
        tokens = "" if group.tokens is None else f", {group.tokens:,} tokens"
        whose = f"{group.step}, {group.reason}: {group.domain}, {group.source}"
        print(f"\n{whose}: {group.documents:,} documents, {group.bytes / 1e6:.2f} MB{tokens}{values}{bound}")
        for shown in group.sample:
            value = "" if shown.value is None else f" {shown.value:.4g}"
            print(f"  {shown.id}{value} {shown.beginning[:_PRINTED_CHARACTERS]!r}")


if __name__ == "__main__":
    main(print_diff)
