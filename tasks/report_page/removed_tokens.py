"""How many tokens the documents were that a corpus' steps removed: read off the token shards of the corpus that they were in before, where they
are in them as they were removed; else tokenized here, all of them or, where that is much text, a sample."""

from collections.abc import Callable, Iterator

import polars as pl

from tasks import layout
from tasks.document_tokens import beside, read_with_tokens
from tasks.documents import read_shards
from tasks.steps.base import draw_keys
from tasks.study_tokenizer import StudyTokenizer

HELDOUT_STEP = "heldout"  # of the split, and its reason
GROUP = ["step", "reason", "domain", "source"]
TOKENIZED_BYTES = 1 << 20  # of text in each group
Count = Callable[[list[str]], list[int]]


def study_tokenizer() -> Count:
    """Counts tokens as the stage `tokenize` does, the end of text included."""
    backend = StudyTokenizer().backend
    return lambda texts: [len(encoding.ids) + 1 for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]


def removed_tokens(corpus: str, before: str | None, seed: int, count: Count) -> pl.DataFrame:
    """One row is what one step removed of one domain and source for one reason: documents, UTF-8 bytes, tokens, and `counted`.

    Where more than TOKENIZED_BYTES would have to be tokenized, so much is drawn by a hash of the ids, the tokens are in proportion to bytes, and
    `counted` is false.

    Args:
        before: a tokenized corpus of the documents that the steps began with, if there is one.
    """
    sums, drawn = [], []
    for documents in _removed(corpus, before):
        sized = documents.with_columns(bytes=pl.col("text").str.len_bytes(), key=draw_keys(documents.to_arrow(), seed))
        unknown = pl.col("tokens").is_null()
        sums.append(sized.group_by(*GROUP, known=~unknown).agg(pl.len().alias("documents"), pl.col("bytes", "tokens").sum()))
        drawn = [_first(pl.concat([*drawn, sized.filter(unknown)]))]
    tokenized = [texts.with_columns(tokens=pl.Series(count(texts["text"].to_list()), dtype=pl.Int64)) for texts in drawn]
    sample = pl.concat(tokenized).group_by(GROUP).agg(drawn=pl.len(), drawn_bytes=pl.col("bytes").sum(), drawn_tokens=pl.col("tokens").sum())
    parts = pl.concat(sums).group_by(*GROUP, "known").sum().join(sample, on=GROUP, how="left")
    counted = pl.col("known") | (pl.col("drawn") == pl.col("documents"))
    estimate = (pl.col("drawn_tokens") * pl.col("bytes") / pl.col("drawn_bytes")).round()
    tokens = pl.when("known").then("tokens").when(counted).then("drawn_tokens").otherwise(estimate.cast(pl.Int64))
    return (
        parts.with_columns(tokens=tokens, counted=counted)
        .group_by(GROUP)
        .agg(pl.col("documents", "bytes", "tokens").sum(), pl.col("counted").all())
        .sort(GROUP)
    )


def _removed(corpus: str, before: str | None) -> Iterator[pl.DataFrame]:
    """id, text, GROUP and tokens, null where they are not known; with the pool's removed documents the held-out ones, which lie apart."""
    columns = ["id", "text", *GROUP]
    unknown = pl.lit(None, pl.Int64)
    if before is None:
        for table in read_shards(layout.removed(corpus), columns):
            yield pl.DataFrame(pl.from_arrow(table)).with_columns(tokens=unknown)
    else:
        removed = pl.scan_parquet(layout.removed(corpus) / "*.parquet").select(columns)
        for table in read_with_tokens(before, ["id", "text"]):
            was = pl.DataFrame(pl.from_arrow(table)).select("id", "tokens", was="text")
            found = removed.filter(beside(table)).collect().join(was, on="id", how="inner")
            yield found.with_columns(tokens=pl.when(pl.col("was") == pl.col("text")).then("tokens")).select(*columns, "tokens")
    if corpus == layout.POOL:
        for table in read_shards(layout.HELDOUT, ["id", "text", "domain", "source"]):
            heldout = pl.DataFrame(pl.from_arrow(table)).with_columns(step=pl.lit(HELDOUT_STEP), reason=pl.lit(HELDOUT_STEP), tokens=unknown)
            yield heldout.select(*columns, "tokens")


def _first(documents: pl.DataFrame) -> pl.DataFrame:
    """Of each group those with the smallest keys, until TOKENIZED_BYTES are together."""
    ahead = (pl.col("bytes").cum_sum() - pl.col("bytes")).over(GROUP)
    return documents.sort("key", "id").filter(ahead < TOKENIZED_BYTES)
