"""Held-out documents, and the pool without them: the zeroth corpus, from which every recipe starts.

Held-out documents are chosen in every domain by a hash of their normalised text and the study's seed, before any recipe, so that they are the
same for all. Training documents that are exact or near duplicates of one are removed, with the reason, into the pool's `removed`.

What this cannot find: a short held-out document that is quoted in a long training document. Jaccard similarity compares whole documents, and
that of these two is small. Finding it is the work of a step that looks for the n-grams of `data/heldout` in training documents.
"""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.atomic import replace_directory, write_json
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, ShardWriter, shard_paths
from tasks.processes import processes
from tasks.stage import main
from tasks.steps.base import decide, set_column
from tasks.steps.funnel import FlowCounter, FunnelRow
from tasks.steps.lsh import band_keys, bands_for, similarity_to_any
from tasks.steps.minhash import signatures
from tasks.steps.normalised_text import digests, normalised
from tasks.study import Heldout, Study

STEPS = ["heldout", "heldout-duplicates"]
LONGEST_SHARE_OF_CAP = 1 / 4  # a longer document is not held out: a few of them would be all that a domain is evaluated on
NGRAM_WORDS = 5  # as FineWeb, arXiv 2406.17557
NUM_PERMUTATIONS = 128
DETECTION_PROBABILITY = 0.999  # of a training document that is just similar enough to a held-out one to be removed


class SplitRecord(Frozen):
    heldout_documents: int
    funnel: tuple[FunnelRow, ...]


class References(NamedTuple):
    """The held-out documents, as documents are compared with them."""

    digests_H: np.ndarray
    signatures_HK: np.ndarray
    keys_HB: np.ndarray
    bands: int
    rows: int
    min_similarity: float


def split(study: Study) -> SplitRecord:
    """Writes `data/heldout` and `data/corpora/pool` from the sources of the study, in its order.

    Raises:
        StudyError: when a source is empty or an id is not unique; when of a domain no document can be held out, or none is left to train on.
    """
    shards = source_shards(study)
    min_similarity = study.heldout.near_duplicate_similarity
    with processes(study.hardware.workers, len(shards)) as run_all:
        facts = list(run_all(read_facts, str(study.seed), shards))
        refuse_repeated_ids(shards, facts)
        heldout_ids = choose(study.heldout, pl.from_arrow(pa.concat_tables(facts)))  # pyright: ignore[reportArgumentType]
        heldout_texts = [text for texts in run_all(read_texts, heldout_ids, shards) for text in texts]
        similarities = list(run_all(compare_shard, references(heldout_texts, min_similarity), shards))
    # The pool takes its place first, then the held-out documents. After a kill in between, both are made again from the sources: for DVC
    # this stage has not run.
    with ExitStack() as outputs:
        heldout_directory = outputs.enter_context(replace_directory(layout.HELDOUT))
        pool_directory = outputs.enter_context(replace_directory(layout.CORPORA / layout.POOL))
        flows = write(shards, heldout_ids, similarities, min_similarity, heldout_directory, pool_directory)
        funnel = flows.rows(STEPS)
        for row in funnel:
            if not row.documents_out:
                raise StudyError(
                    f"Domain '{row.domain}' has {row.documents_in} documents before the step {row.step} and none after it to train on: "
                    "give it more documents, or take its sources out of the study."
                )
        write_json(pool_directory / "funnel.json", [row.model_dump() for row in funnel])
    return SplitRecord(heldout_documents=len(heldout_ids), funnel=tuple(funnel))


def source_shards(study: Study) -> list[Path]:
    """The shards of the study's sources, in its order. Folders of sources that are no longer in the study are not looked at."""
    shards: list[Path] = []
    for name in study.all_sources:
        paths = shard_paths(layout.SOURCES / name)
        if not any(pq.read_metadata(path).num_rows for path in paths):
            raise StudyError(f"Source '{name}' has no documents in {layout.SOURCES / name}: run `dvc repro`, or take it out of the study.")
        shards += paths
    return shards


def read_facts(seed: str, shard: Path) -> pa.Table:
    """Per document of a shard: id, domain, bytes of text, the digest of the normalised text (null when that is empty), and the order in which
    documents are held out."""
    table = pq.read_table(shard, columns=["id", "domain", "text"])
    texts = normalised(table["text"])
    digest = [value if text else None for value, text in zip(digests(texts).tolist(), texts, strict=True)]
    order = [value and hashlib.blake2b(value, key=seed.encode(), digest_size=16).digest() for value in digest]
    computed = {"digest": pa.array(digest, pa.binary()), "order": pa.array(order, pa.binary())}
    return pa.table({"id": table["id"], "domain": table["domain"], "bytes": pc.cast(pc.binary_length(table["text"]), pa.int64()), **computed})


def refuse_repeated_ids(shards: list[Path], facts: list[pa.Table]) -> None:
    ids = pa.chunked_array([chunk for table in facts for chunk in table["id"].chunks], pa.string())
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pl.Series("id", ids).value_counts().filter(pl.col("count") > 1).sort("id")
    first = counts["id"][0]
    sources = sorted({shard.parent.name for shard, table in zip(shards, facts, strict=True) if pc.index(table["id"], first).as_py() >= 0})
    raise StudyError(
        f"{len(counts)} ids are given to more than one document, '{first}' in {' and '.join(sources)}: ids must be unique in a study; "
        "take one of the sources out, or give the documents other ids."
    )


def choose(config: Heldout, facts: pl.DataFrame) -> pa.Array:
    """The ids of the held-out documents, sorted.

    Of copies in a domain only the one with the smallest id can be held out (the others will be found as its duplicates), so that nothing is
    evaluated twice. A domain's documents are taken in the order of their hashes up to the first that would exceed the share or the cap.
    """
    distinct = facts.drop_nulls("digest").sort("id").unique(["domain", "digest"], keep="first", maintain_order=True)
    longest = int(LONGEST_SHARE_OF_CAP * config.max_bytes_per_domain)
    chosen = (
        distinct.with_columns(wanted=(pl.len().over("domain") * config.share).round().clip(1))
        .filter(pl.col("bytes") <= longest)
        .sort("domain", "order")
        .filter(pl.int_range(pl.len()).over("domain") < pl.col("wanted"))
        .filter(pl.col("bytes").cum_sum().over("domain") <= config.max_bytes_per_domain)
    )
    for domain in sorted(set(facts["domain"]) - set(chosen["domain"])):
        raise StudyError(
            f"No document of domain '{domain}' can be held out: none of its {facts['domain'].eq(domain).sum()} documents has words and at most "
            f"{longest} bytes, a quarter of heldout.max_bytes_per_domain ({config.max_bytes_per_domain}): raise that."
        )
    return pa.array(chosen["id"].sort(), pa.string())


def read_texts(ids: pa.Array, shard: Path) -> list[str]:
    """The normalised texts of those documents of a shard that have one of these ids."""
    return normalised(pq.read_table(shard, columns=["id", "text"], filters=pc.field("id").isin(ids))["text"])


def references(normalised_texts: list[str], min_similarity: float) -> References:
    bands, rows = bands_for(min_similarity, NUM_PERMUTATIONS, DETECTION_PROBABILITY)
    signatures_HK = signatures(normalised_texts, NGRAM_WORDS, NUM_PERMUTATIONS)
    return References(digests(normalised_texts), signatures_HK, band_keys(signatures_HK, bands, rows), bands, rows, min_similarity)


def compare_shard(references: References, shard: Path) -> np.ndarray:
    """Per document of a shard: infinity when its text is one of the references', else its estimated similarity to one that it is near to, else
    NaN. Shape (documents,)."""
    texts = normalised(pq.read_table(shard, columns=["text"])["text"])
    signatures_DK = signatures(texts, NGRAM_WORDS, NUM_PERMUTATIONS)
    keys_DB = band_keys(signatures_DK, references.bands, references.rows)
    similarity_D = similarity_to_any(signatures_DK, keys_DB, references.signatures_HK, references.keys_HB, references.min_similarity)
    return np.where(np.isin(digests(texts), references.digests_H), np.inf, similarity_D)


def write(
    shards: list[Path], heldout_ids: pa.Array, similarities: list[np.ndarray], min_similarity: float, heldout_directory: Path, pool_directory: Path
) -> FlowCounter:
    """Streams all documents to where they belong."""
    heldout = ShardWriter(heldout_directory, DOCUMENT_SCHEMA)
    kept = ShardWriter(pool_directory / "kept", DOCUMENT_SCHEMA)
    removed = ShardWriter(pool_directory / "removed", REMOVED_SCHEMA)
    flows = FlowCounter()
    for shard, similarity_D in zip(shards, similarities, strict=True):
        table = pq.read_table(shard)
        is_heldout = pc.is_in(table["id"], value_set=heldout_ids)
        chosen, rest = table.filter(is_heldout), table.filter(pc.invert(is_heldout))
        similarity_D = similarity_D[~is_heldout.to_numpy()]
        is_copy = np.isinf(similarity_D)
        reason = np.where(is_copy, "heldout-duplicate", "heldout-near-duplicate")
        reason = pa.array(reason.tolist(), pa.string(), mask=np.isnan(similarity_D))
        outcome = decide(rest, reason, np.where(is_copy, 1.0, similarity_D), min_similarity)
        heldout.write(chosen)
        kept.write(outcome.kept)
        removed.write(set_column(outcome.removed, REMOVED_SCHEMA.field("step"), STEPS[1]))
        flows.count(0, "in", table)
        flows.count(0, "removed", chosen.append_column("reason", pa.repeat(pa.scalar(STEPS[0]), chosen.num_rows)))
        flows.count(0, "out", rest)
        flows.count(1, "in", rest)
        flows.count(1, "removed", outcome.removed)
        flows.count(1, "out", outcome.kept)
    for writer in (heldout, kept, removed):
        writer.close()
    return flows


if __name__ == "__main__":
    main(split)
