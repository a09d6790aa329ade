"""One hash that travels with every number: only numbers of one version are compared, plotted or fitted together. An outline beside the numbers says
what it is a hash of, so that two versions can be told apart in words."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from models.frozen import Frozen

METADATA_KEY = b"outlines"  # of the schema of an evaluation table
SHOWN = 60  # characters of a setting, at most
# How tasks/benchmarks/bits_per_byte.py cuts text.
WINDOW_RULE = "end-of-text, then the document; a window advances by half a context and scores only what no earlier window scored"


class Outline(Frozen):
    """Of a benchmark: what decides its versions, but for the metric."""

    harness: str  # with its version
    settings: dict[str, Any]  # JSON types
    items: tuple[str, ...]  # digests of all that is asked and its answers, in order; of documents, of a group's tasks


Outlines = TypeAdapter(dict[str, Outline])  # by benchmark


def version_of(definition: Any, metric: str, harness: str) -> str:
    """Of the definition (with its items, JSON types), the metric's name and the harness with its version."""
    return digest([definition, metric, harness], 16)


def text_version(texts: Sequence[tuple[str, str]], context: int) -> str:
    """Of bits per byte on documents (id, text), in windows of `context` tokens."""
    return version_of([texts, WINDOW_RULE, context], "bits_per_byte", "assay")


def digest(value: Any, length: int = 8) -> str:
    """Hexadecimal digits of the SHA-256 of a value of JSON types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:length]


def difference(old: Outline, new: Outline) -> str:
    """What changed from one to the other, in words; empty when nothing did."""
    changes = [f"harness was {old.harness}, is {new.harness}"] if old.harness != new.harness else []
    for name in sorted(old.settings.keys() | new.settings.keys()):
        before, after = (shown(outline.settings.get(name)) for outline in (old, new))
        if old.settings.get(name) != new.settings.get(name):
            changes.append(f"{name} was {before}, is {after}" if before != after else f"{name} is another")
    gained, lost = Counter(new.items) - Counter(old.items), Counter(old.items) - Counter(new.items)
    if gained or lost:
        changes.append(f"{gained.total()} of {len(new.items)} items are new, {lost.total()} of {len(old.items)} are gone")
    elif old.items != new.items:
        changes.append("items are in another order")
    return "; ".join(changes)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def differences(old: Mapping[str, Outline], new: Mapping[str, Outline]) -> dict[str, str]:
    """By benchmark, of those in both that changed."""
    return {name: text for name in new if name in old and (text := difference(old[name], new[name]))}


def with_outlines(schema: pa.Schema, outlines: Mapping[str, Outline]) -> pa.Schema:
    """An evaluation table's schema that carries its benchmarks' outlines."""
    return schema.with_metadata({METADATA_KEY: Outlines.dump_json(dict(sorted(outlines.items())))})


def read_outlines(path: Path) -> dict[str, Outline]:
    """Of an evaluation table; empty when there is none, or it was written without."""
    metadata = (pq.read_schema(path).metadata or {}) if path.exists() else {}
    return Outlines.validate_json(metadata.get(METADATA_KEY, b"{}"))
