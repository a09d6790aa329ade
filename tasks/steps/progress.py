"""A line on a terminal that says how far a recipe is: shards, documents and megabytes per second, time left. Nothing where nobody looks."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.steps.funnel import Amount


@contextmanager
def progress(what: str, num_shards: int) -> Iterator[Callable[[Amount], None]]:
    """Gives a function to be called with what a shard held, when one is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("shards {task.fields[speed]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as shown:
        task, began = shown.add_task(what, total=num_shards, speed=""), time.monotonic()
        documents = size = 0

        def done(shard: Amount) -> None:
            nonlocal documents, size
            documents, size = documents + shard.documents, size + shard.bytes
            shown.update(task, advance=1, speed=speed(documents, size, time.monotonic() - began))

        yield done


def speed(documents: int, size: int, seconds: float) -> str:
    return f"{documents / max(seconds, 1e-3):,.0f} documents/s {size / 1e6 / max(seconds, 1e-3):,.1f} MB/s"
