"""A Hugging Face dataset by name or by local path, streamed through `datasets`: nothing is written to its cache but what describes the dataset."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from datasets import IterableDataset, load_dataset
from datasets.exceptions import DatasetsError

from models.frozen import StudyError
from tasks.sources.config import HuggingFaceSource
from tasks.sources.raw import RawDocument
from tasks.sources.rows import document_of_row, wanted_columns
from tasks.sources.sampling import Shard, take_shares

UNREADABLE = (DatasetsError, FileNotFoundError, ValueError, pa.ArrowException)  # among ValueErrors: unknown split, unknown configuration, no UTF-8


def read(source: HuggingFaceSource) -> Iterator[tuple[str, RawDocument]]:
    """(split and shard, document) of a whole split or, with `max_bytes`, shares of its shards (`sampling.take_shares`; their sizes are not
    known before they are read and count as equal). Of a dataset in one file that is its beginning.

    Raises:
        StudyError: no such dataset, configuration, split or column; offline; a row whose text is no text.
    """
    with _in_words(_place(source)):
        dataset = load_dataset(source.path, source.name, split=source.split, revision=source.revision, streaming=True)
    if dataset.column_names is not None:
        dataset = dataset.select_columns(wanted_columns(dataset.column_names, source, _place(source)))

    def opener(index: int) -> Callable[[], Iterator[RawDocument]]:
        return lambda: _documents(dataset.shard(dataset.num_shards, index), source, f"{_place(source)}, shard {index}")

    yield from take_shares([Shard(f"{source.split}-{index:05d}", 1, opener(index)) for index in range(dataset.num_shards)], source)


def _documents(shard: IterableDataset, source: HuggingFaceSource, place: str) -> Iterator[RawDocument]:
    rows = iter(shard)
    for number in itertools.count():
        with _in_words(f"{place}, row {number}"):
            row = next(rows, None)
        if row is None:
            return
        yield document_of_row(row, source, f"{place}, row {number}")


def _place(source: HuggingFaceSource) -> str:
    return f"dataset '{source.path}'" + (f" ({source.name})" if source.name else "") + f", split '{source.split}'"


@contextmanager
def _in_words(place: str) -> Iterator[None]:
    """Turns what `datasets` raises about `place` into one sentence."""
    try:
        yield
    except ConnectionError as error:
        raise StudyError(
            f"{place} can't be reached ({_one_line(error)}): check the network, HF_HUB_OFFLINE and HF_ENDPOINT, or give a local folder as `path`."
        ) from error
    except UNREADABLE as error:
        raise StudyError(f"{place} can't be read: {_one_line(error)}.") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
