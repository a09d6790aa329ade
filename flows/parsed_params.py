"""DVC parses params.yaml anew for every stage that has parameters: of a study with hundreds of mixtures that is the most of its time.

Here the same text is parsed once. What DVC reads are still the file's bytes of that moment.
"""

from functools import lru_cache
from typing import Any

import dvc.dependency.param
from dvc.utils.serialize import PARSERS, load_path


def parse_once() -> None:
    """From now on, in this process."""
    dvc.dependency.param.load_path = _load


def _load(path: str, fs: Any, **settings: Any) -> Any:
    if settings or not fs.isfile(path):
        return load_path(path, fs, **settings)
    with fs.open(path, encoding="utf-8") as file:
        return _parsed(file.read(), path, fs.suffix(path).lower())


@lru_cache(maxsize=4)
def _parsed(text: str, path: str, suffix: str) -> Any:
    return PARSERS[suffix](text, path)
