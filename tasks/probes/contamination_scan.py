"""Which items share word n-grams with a training corpus: one pass over the corpus, with no more in memory than the items' n-grams and a shard.

Shape suffix: C positions where an n-gram begins.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.frozen import Frozen, StudyError
from tasks.documents import shard_paths
from tasks.probes.config import ContaminationConfig
from tasks.probes.word_ngrams import bare_texts, ngrams, text_chunks, words_at
from tasks.processes import processes

SHOWN_WORDS = 40  # of an overlap


class Item(NamedTuple):
    """Of a benchmark, or a held-out document: all that a model would have to have seen."""

    id: str
    text: str


class Overlap(Frozen):
    """What an item shares with the corpus."""

    item: str
    share: float  # of its n-grams
    text: str  # the longest piece all of whose n-grams are in the corpus, normalised; its first words where it is long
    words: int  # of that piece
    document: str  # the first of the corpus that has the piece's first n-gram


class Contamination(Frozen):
    """Of a benchmark's items, in their order."""

    judged: tuple[bool, ...]  # False: too short
    contaminated: tuple[bool, ...]
    overlaps: tuple[Overlap, ...]  # of the contaminated ones


class Place(NamedTuple):
    """Where an n-gram was found first."""

    document: str
    text: str


class Search(NamedTuple):
    """What a process looks for, and where."""

    wanted: Mapping[int, np.ndarray]  # sorted hashes of n-grams by their number of words
    domains: tuple[str, ...]


Found = dict[tuple[int, int], Place]  # by number of words and hash


def find_contamination(
    config: ContaminationConfig, items_by_benchmark: Mapping[str, Sequence[Item]], corpus: Path, domains: Sequence[str], workers: int | None = None
) -> dict[str, Contamination]:
    """Reads the documents of the given domains in a corpus' shards once.

    Raises:
        StudyError: when there are none.
    """
    items = [item for of_benchmark in items_by_benchmark.values() for item in of_benchmark]
    texts = bare_texts(pa.chunked_array([[item.text for item in items]], pa.string())).to_pylist()
    words = dict(zip(items, (text.split() for text in texts), strict=True))
    hashes = {item: item_hashes(config, of_item) for item, of_item in words.items()}
    wanted: dict[int, list[np.ndarray]] = defaultdict(list)
    for num_words, hash_C in hashes.values():
        if num_words:
            wanted[num_words].append(hash_C)
    search = Search({num_words: np.unique(np.concatenate(of_length)) for num_words, of_length in sorted(wanted.items())}, tuple(domains))
    shards = shard_paths(corpus)
    if not shards:
        raise StudyError(f"evaluation.probes.contamination: there are no documents in {corpus}: run `dvc repro`, or `dvc checkout`.")
    found: Found = {}
    with processes(workers, len(shards)) as run_all:
        for of_shard in run_all(scan_shard, search, shards):
            found = of_shard | found  # the first document that has it, whatever the number of workers
    return {
        benchmark: contamination_of(config, [(item, words[item], *hashes[item]) for item in of_benchmark], found)
        for benchmark, of_benchmark in items_by_benchmark.items()
    }


def item_hashes(config: ContaminationConfig, words: Sequence[str]) -> tuple[int, np.ndarray]:
    """How many words an item's n-grams have, 0 when it is too short to judge; and their hashes, in order."""
    num_words = min(config.ngram_words, len(words))
    if num_words < min(config.min_item_words, config.ngram_words):
        return 0, np.empty(0, np.uint64)
    (chunk,) = text_chunks(pa.chunked_array([[" ".join(words)]], pa.string()))
    return num_words, ngrams(chunk, num_words).hash_C


def scan_shard(search: Search, path: Path) -> Found:
    """The wanted n-grams of one shard, each with the first place."""
    table = pq.read_table(path, columns=["id", "domain", "text"])
    table = table.filter(pc.is_in(table["domain"], value_set=pa.array(search.domains, pa.string())))
    ids = table["id"].to_pylist()
    found: Found = {}
    first_document = 0
    for chunk in text_chunks(table["text"]):
        document_S = chunk.words.document_S
        for num_words, wanted in search.wanted.items():
            hash_C, word_C = ngrams(chunk, num_words)
            hits = np.flatnonzero(np.isin(hash_C, wanted))
            for value, first in zip(*np.unique(hash_C[hits], return_index=True), strict=True):
                word = int(word_C[hits[first]])
                place = Place(ids[first_document + document_S[word]], words_at(chunk, word, num_words))
                found.setdefault((num_words, int(value)), place)
        first_document += len(chunk.offset_D) - 1
    return found


def contamination_of(
    config: ContaminationConfig, items: Sequence[tuple[Item, Sequence[str], int, np.ndarray]], found: Mapping[tuple[int, int], Place]
) -> Contamination:
    """From items with their words, and the length and hashes of their n-grams."""
    judged, contaminated, overlaps = [], [], []
    for item, words, num_words, hash_C in items:
        places = [found.get((num_words, value)) for value in hash_C.tolist()]
        hits = [place is not None and place.text == " ".join(words[i : i + num_words]) for i, place in enumerate(places)]
        judged.append(num_words > 0)
        contaminated.append(any(hits) and sum(hits) / len(hits) >= config.min_share)
        if contaminated[-1]:
            first, last = longest_piece(hits)
            piece = words[first : last + num_words]
            place = places[first]
            assert place is not None
            overlaps.append(
                Overlap(
                    item=item.id,
                    share=sum(hits) / len(hits),
                    text=" ".join(piece[:SHOWN_WORDS]),
                    words=len(piece),
                    document=place.document,
                )
            )
    return Contamination(judged=tuple(judged), contaminated=tuple(contaminated), overlaps=tuple(overlaps))


def longest_piece(hits: Sequence[bool]) -> tuple[int, int]:
    """First and last index of the longest run of hits, of which there is one; the first of several."""
    edges = np.flatnonzero(np.diff([False, *hits, False])).reshape(-1, 2)
    first, behind = edges[np.argmax(edges[:, 1] - edges[:, 0])].tolist()
    return first, behind - 1
