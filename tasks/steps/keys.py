"""The key of a step in a recipe: it changes with whatever could change what the step makes, so that work left under it can be taken up.

That is the seed, the bytes and order of the input's shards, the code that decides every corpus, and of the step and all before it the settings,
the code and the files that they read. Gates are no part of it: they stop a recipe and change no document.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.step_code import digest, digest_of_shared, read_digests
from tasks.steps.base import StepConfig


def step_keys(seed: int, shards: Sequence[Path], steps: Sequence[StepConfig]) -> Iterator[str]:
    """Yields a key for each step, hexadecimal."""
    chain = hashlib.blake2b(f"{seed} {digest_of_shared()}".encode(), digest_size=16)
    for path in shards:
        with path.open("rb") as file:
            chain.update(hashlib.file_digest(file, "blake2b").digest())
    for step in steps:
        settings = step.model_dump(mode="json", exclude=set(step.gates))
        chain.update(json.dumps([settings, digest(type(step)), read_digests(step)], sort_keys=True).encode())
        yield chain.hexdigest()
