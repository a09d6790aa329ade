"""How many tokens each document of a corpus is: read off its token shards, nothing is tokenized again."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.frozen import StudyError
from tasks import layout
from tasks.documents import COPIES, read_shards, shard_paths
from tasks.tokenize_corpus import MANIFEST

TOKENS = pa.field("tokens", pa.int64())


def read_with_tokens(corpus: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The shards of what a corpus keeps, with `tokens`: of the document once, however often it is drawn, its end of text included. Null in a corpus
    that was not tokenized, as the pool.

    Raises:
        StudyError: when the token shards are of other documents.
    """
    directory, read = layout.TOKENS / corpus, [*dict.fromkeys([*columns, "domain"])]
    if not (directory / MANIFEST).exists():
        for table in read_shards(layout.kept(corpus), read):
            yield table.append_column(TOKENS, pa.nulls(table.num_rows, TOKENS.type))
        return
    if any(COPIES.name in pq.read_schema(path).names for path in shard_paths(layout.kept(corpus))[:1]):
        read.append(COPIES.name)
    offsets = {path.name.removesuffix(".offsets.npy"): np.load(path, mmap_mode="r") for path in directory.glob("*.offsets.npy")}
    position = Counter[str]()
    for table in read_shards(layout.kept(corpus), read):
        yield table.append_column(TOKENS, pa.array(_tokens(table, offsets, position)))
    if any(position[domain] != len(starts) - 1 for domain, starts in offsets.items()):
        raise _stale(corpus)


def beside(shard: pa.Table) -> pl.Expr:
    """Of another corpus, the documents between a shard's first and last: corpora are in the order of their ids, so that only a part of it is read."""
    ids = pc.min_max(shard["id"]).as_py()
    return pl.col("id").is_between(pl.lit(ids["min"], pl.String), pl.lit(ids["max"], pl.String))


def _tokens(table: pa.Table, offsets: dict[str, np.ndarray], position: Counter[str]) -> np.ndarray:
    """Of each document; `position` says how far each domain's tokens were read, before and after."""
    domain_D, tokens_D = np.array(table["domain"].to_pylist()), np.zeros(table.num_rows, np.int64)
    copies_D = table[COPIES.name].fill_null(1).to_numpy() if COPIES.name in table.column_names else np.ones(table.num_rows, np.int32)
    for domain in np.unique(domain_D).tolist():
        (rows,) = np.nonzero((domain_D == domain) & (copies_D > 0))
        behind = position[domain] + np.cumsum(copies_D[rows], dtype=np.int64)
        if domain not in offsets or (len(behind) and behind[-1] >= len(offsets[domain])):
            raise _stale(domain)
        tokens_D[rows] = offsets[domain][behind].astype(np.int64) - offsets[domain][behind - 1].astype(np.int64)
        position[domain] += int(copies_D[rows].sum())
    return tokens_D


def _stale(what: str) -> StudyError:
    return StudyError(f"The token shards of '{what}' are not those of the documents beside them: run the stage `tokenize` (`dvc repro`).")
