"""Memory of a recipe with every kind of corpus step, over a pool of short documents (`make bench-memory`).

python -m tests.benchmarks.bench_memory [--megabytes 200] [--workers 2] [--folder FOLDER]

The pool is the default study's (`dvc repro split` makes it; about 580 bytes per document), and copies of it with every third word another, until it
has the asked size. Sampled are the driver and its workers: what each holds alone (resident, shared pages left out), and of all of them together the
proportional set size, in which a page that several share counts once. Exits with 1 when all together take more than 2 GB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import psutil
import pyarrow as pa
import yaml

from tasks import layout
from tasks.documents import DOCUMENT_SCHEMA, read_shards, text_bytes, write_shards
from tests.conftest import PROJECT

AIM_MB = 2048
EVERY_SECONDS = 0.1
STEPS = [
    {"step": "normalize"},
    {"step": "gopher-quality", "min_words": 20, "min_stop_words": 1, "skip_domains": ["code", "dictionary"]},
    {"step": "gopher-repetition", "skip_domains": ["code", "dictionary", "literature"]},
    {"step": "exact-duplicates"},
    {"step": "near-duplicates", "min_similarity": 0.7},
    {"step": "line-duplicates", "skip_domains": ["code"]},
    {"step": "quality-classifier", "reference_domains": ["encyclopedia", "literature"]},
    {"step": "top-fraction", "fraction": 0.5},
]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200, help="of text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keeps the pool, and uses the one that is there")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        pool = folder / layout.kept(layout.POOL)
        if not pool.exists():
            write_shards(pool, altered_copies(asked.megabytes * 1e6), DOCUMENT_SCHEMA)
        sizes = [(table.num_rows, text_bytes(table)) for table in read_shards(pool, ["text"])]
        documents, size = (sum(column) for column in zip(*sizes, strict=True))
        print(f"{documents:,} documents, {size / 1e6:,.0f} MB, {len(sizes)} shards, {asked.workers} workers", flush=True)
        study = yaml.safe_load((PROJECT / layout.PARAMS).read_text())
        study |= {"recipes": {"x": {"from": "pool", "steps": STEPS}}, "mixtures": {"m": {"recipe": "x", "weights": "natural"}}}
        study["hardware"] = {"workers": asked.workers}
        (folder / layout.PARAMS).write_text(yaml.safe_dump(study))
        return int(measure(folder) > AIM_MB)


def altered_copies(num_bytes: float) -> Iterator[pa.Table]:
    """The pool again and again: in each copy other ids, and in all but the first every third word another."""
    done = 0
    for number in count():
        for table in read_shards(PROJECT / layout.kept(layout.POOL), DOCUMENT_SCHEMA.names):
            ids = [f"{id}~{number}" for id in table["id"].to_pylist()]
            texts = [altered(text, number) for text in table["text"].to_pylist()]
            yield table.set_column(0, DOCUMENT_SCHEMA.field("id"), pa.array(ids)).set_column(1, DOCUMENT_SCHEMA.field("text"), pa.array(texts))
            done += sum(map(len, texts))
            if done >= num_bytes:
                return


def altered(text: str, number: int) -> str:
    words = text.split(" ")
    words[::3] = [f"{word}{number}" if number else word for word in words[::3]]
    return " ".join(words)


def measure(folder: Path) -> float:
    """Peak of all processes together, in MB; prints it, and each one's own."""
    began = time.monotonic()
    driver = psutil.Popen([sys.executable, "-m", "tasks.curate", "x"], cwd=folder, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    private, together = defaultdict[int, float](float), defaultdict[str, float](float)
    while driver.poll() is None:
        now = defaultdict[str, float](float)
        for process in [driver, *driver.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
            except psutil.Error:  # it ended while we looked
                continue
            private[process.pid] = max(private[process.pid], memory.uss / 2**20)
            now["pss"] += memory.pss / 2**20
            now["rss"] += memory.rss / 2**20
        together = defaultdict(float, {kind: max(together[kind], size) for kind, size in now.items()})
        time.sleep(EVERY_SECONDS)
    if driver.returncode:
        raise subprocess.CalledProcessError(driver.returncode, "tasks.curate")
    workers = ", ".join(f"{size:,.0f}" for pid, size in private.items() if pid != driver.pid)
    print(f"peak MB: driver alone {private[driver.pid]:,.0f}; workers alone {workers}", flush=True)
    print(
        f"all together {together['pss']:,.0f}; with shared pages counted again {together['rss']:,.0f}; {time.monotonic() - began:,.0f} s", flush=True
    )
    return together["pss"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
