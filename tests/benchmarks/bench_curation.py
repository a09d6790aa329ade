"""Curation steps against other tools on the same text, on one core: speed, peak memory, agreement of decisions (`make bench-curation`).

python -m tests.benchmarks.bench_curation [--megabytes 8]

The documents are some of the default study's pool (`dvc repro split` makes it). `datatrove` runs twice: with the words that it comes with (spaCy's)
and with words as ours (what is between white space), where its rules and ours mean the same. Exits with 1 when an aim is missed: ten times
datatrove with our words on the rules together and on near-duplicates, 99% of decisions, 90% of fastText's own loop.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import layout
from tasks.documents import read_shards, text_bytes
from tests.benchmarks.curation_contestants import SETTINGS
from tests.conftest import PROJECT

SPEED_AIM, AGREEMENT_AIM, FASTTEXT_AIM = 10.0, 0.99, 0.9
LONG_WORDS = 50  # Gopher's rules for repetition are compared on documents of as many
DETECTORS = ("datatrove", "datatrove --words", "datasketch", "rensa")


class Measured(NamedTuple):
    seconds: float  # of the processor
    peak_mb: float
    decisions: list[Any]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=8, help="of text")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        table = sample(asked.megabytes * 1e6)
        pq.write_table(table, f"{folder}/documents.parquet")
        bench = Bench(Path(folder), text_bytes(table) / 1e6)
        print(f"{table.num_rows:,} documents, {bench.megabytes:.1f} MB, one core\n{'':34}{'MB/s':>8} {'peak MB':>8} {'ours is':>8} {'agree':>7}")
        met = [compare_rules(bench), compare_near_duplicates(bench), compare_fasttext(bench)]
    return int(not all(met))


def sample(num_bytes: float) -> pa.Table:
    """Every so many documents of the pool."""
    pool = pa.concat_tables(read_shards(PROJECT / layout.kept("pool"), ["id", "text", "source", "domain", "lang"]))
    step = max(1, round(text_bytes(pool) / num_bytes))
    chosen = pool.take(pa.array(np.arange(0, pool.num_rows, step))).combine_chunks()
    english = pa.repeat(pa.scalar("en"), chosen.num_rows)  # datatrove's stop words are English, whatever the text
    return chosen.set_column(chosen.schema.get_field_index("lang"), "lang", english)


class Bench:
    def __init__(self, folder: Path, megabytes: float):
        self.folder, self.megabytes = folder, megabytes

    def measure(self, contestant: str) -> Measured:
        """Runs `tool/rule [--words]` in a process of its own, on one core."""
        result = self.folder / "result.json"
        tool, *options = contestant.split()
        subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.benchmarks.curation_contestants",
                tool,
                self.folder / "documents.parquet",
                result,
                *options,
            ],
            env=os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}),
            stderr=subprocess.DEVNULL if tool.startswith("datatrove") else None,  # its log
            check=True,
        )
        return Measured(**json.loads(result.read_text()))

    def report(self, name: str, measured: Measured, ours: Measured | None = None, agreement: float | None = None) -> None:
        ratio = f"{measured.seconds / ours.seconds:7.1f}x" if ours else ""
        agree = "" if agreement is None else f"{agreement:7.2%}"
        print(f"{name:34}{self.megabytes / measured.seconds:8.1f} {measured.peak_mb:8.0f} {ratio:>8} {agree:>7}", flush=True)


def compare_rules(bench: Bench) -> bool:
    seconds, agreed = {"ours": 0.0, "theirs": 0.0}, []
    is_long = [len(text.split()) >= LONG_WORDS for text in pq.read_table(bench.folder / "documents.parquet")["text"].to_pylist()]
    for rule in SETTINGS:
        ours = bench.measure(f"ours/{rule}")
        bench.report(f"{rule}: ours", ours)
        for tool in ("datatrove", "datatrove --words"):
            theirs = bench.measure(tool.replace("datatrove", f"datatrove/{rule}"))
            pairs = list(zip(ours.decisions, theirs.decisions, strict=True))
            if rule == "gopher-repetition":  # in short texts, for datatrove the most frequent n-gram is one that is there once
                pairs = [pair for pair, long in zip(pairs, is_long, strict=True) if long]
            agreement = sum((one is None) == (other is None) for one, other in pairs) / len(pairs)
            bench.report(f"{rule}: {tool}", theirs, ours, agreement)
        agreed.append(agreement)
        seconds = {"ours": seconds["ours"] + ours.seconds, "theirs": seconds["theirs"] + theirs.seconds}
        for (one, other), count in Counter(pair for pair in pairs if (pair[0] is None) != (pair[1] is None)).most_common(4):
            print(f"    {count:6,} documents: ours {one or 'keeps'}, datatrove {other or 'keeps'}")
    ratio = seconds["theirs"] / seconds["ours"]
    print(f"rules together: ours is {ratio:.1f}x datatrove with the same words; least agreement {min(agreed):.2%}")
    return ratio >= SPEED_AIM and min(agreed) >= AGREEMENT_AIM


def compare_near_duplicates(bench: Bench) -> bool:
    ours = bench.measure("ours/near-duplicates")
    bench.report("near-duplicates: ours", ours)
    met = True
    for tool in DETECTORS:
        theirs = bench.measure(" ".join([f"{tool.split()[0]}/near-duplicates", *tool.split()[1:]]))
        agreement = float(np.mean(has_duplicate(ours.decisions) == has_duplicate(theirs.decisions)))
        bench.report(f"near-duplicates: {tool}", theirs, ours, agreement)
        if tool == "datatrove --words":
            met = theirs.seconds >= SPEED_AIM * ours.seconds and agreement >= AGREEMENT_AIM
    return met


def has_duplicate(groups: list[int]) -> np.ndarray:
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    return size[group] > 1


def compare_fasttext(bench: Bench) -> bool:
    theirs, ours = bench.measure("fasttext/language"), bench.measure("ours/language")
    bench.report("language: fastText's own loop", theirs)
    bench.report("language: ours", ours)
    print(f"language: ours is {theirs.seconds / ours.seconds:.0%} of fastText's own loop")
    return theirs.seconds >= FASTTEXT_AIM * ours.seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
