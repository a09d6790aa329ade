"""Random documents that each recipe keeps and drops, the same for the same study."""

import hashlib
import heapq
from dataclasses import dataclass
from pathlib import Path

from tasks import layout
from tasks.documents import read_shards

PER_DOMAIN = 3  # kept, and as many dropped
EXCERPT_CHARACTERS = 600


@dataclass(frozen=True)
class Sample:
    """One document, or its beginning. The last four are None when it was kept, and where a step had no value to compare."""

    id: str
    source: str
    domain: str
    excerpt: str
    left_out: int  # characters after the excerpt
    step: str | None = None
    reason: str | None = None
    value: float | None = None
    threshold: float | None = None


def sample_corpus(recipe: str, seed: int) -> dict[str, dict[str, list[Sample]]]:
    """{"kept" | "removed": {domain: up to PER_DOMAIN documents}} of one recipe's own corpus."""
    return {"kept": _sample(layout.kept(recipe), seed), "removed": _sample(layout.removed(recipe), seed)}


def _sample(directory: Path, seed: int) -> dict[str, list[Sample]]:
    """The documents of each domain whose hashed ids are smallest: uniform, independent of shards and order, one shard in memory at a time."""
    chosen: dict[str, list[tuple[bytes, Sample]]] = {}
    for table in read_shards(directory):
        ranks: dict[str, list[tuple[bytes, int]]] = {}
        for row, (id, domain) in enumerate(zip(table["id"].to_pylist(), table["domain"].to_pylist(), strict=True)):
            ranks.setdefault(domain, []).append((hashlib.blake2b(f"{seed}:{id}".encode(), digest_size=8).digest(), row))
        for domain, ranked in ranks.items():
            new = [(rank, _read(table.slice(row, 1).to_pylist()[0])) for rank, row in heapq.nsmallest(PER_DOMAIN, ranked)]
            chosen[domain] = heapq.nsmallest(PER_DOMAIN, chosen.get(domain, []) + new, key=lambda pair: pair[0])
    return {domain: [sample for _, sample in chosen[domain]] for domain in sorted(chosen)}


def _read(row: dict) -> Sample:
    text = row["text"]
    return Sample(
        id=row["id"],
        source=row["source"],
        domain=row["domain"],
        excerpt=text[:EXCERPT_CHARACTERS],
        left_out=max(0, len(text) - EXCERPT_CHARACTERS),
        **{name: row.get(name) for name in ("step", "reason", "value", "threshold")},
    )
