"""Hugging Face models that a study names: from the hub by name and commit, or from a folder by its SHA-256."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from models.frozen import Frozen, StudyError
from tasks.steps.pinned import PinnedFile


class Pretrained(Frozen):
    """A model that cannot change under a study: the bytes are named, not only their place."""

    name: str = Field(description="on the Hugging Face hub, or the path of a folder")
    revision: str | None = Field(default=None, description="of a model on the hub: the commit, 40 hexadecimal digits")
    sha256: str | None = Field(default=None, description="of a folder: of its files' names and contents; left out, the error tells it")
    tokenizer: str | None = Field(
        default=None, description="a folder with the tokenizer (`data/tokenizer` for this study's proxies); else the model's own"
    )


class Loaded(NamedTuple):
    model: Any  # in evaluation mode, float32
    tokenizer: Any


def load(pretrained: Pretrained, auto_class: str, where: str) -> Loaded:
    """Args:
        auto_class: of transformers, such as AutoModelForSequenceClassification.

    Raises:
        StudyError: when the model is not pinned, is not there, or is of another kind.
    """
    if Path(pretrained.name).is_dir():
        PinnedFile(path=pretrained.name, sha256=pretrained.sha256).at(where)
    elif not re.fullmatch("[0-9a-f]{40}", pretrained.revision or ""):
        raise StudyError(
            f"{where}: there is no folder '{pretrained.name}', and as a model of the Hugging Face hub it needs its `revision`, a commit of 40 "
            f"hexadecimal digits, not {pretrained.revision}: a branch's model can change."
        )
    return _load(pretrained.name, pretrained.revision, pretrained.sha256, pretrained.tokenizer or pretrained.name, auto_class, where)


@lru_cache(maxsize=2)
def _load(name: str, revision: str | None, sha256: str | None, tokenizer: str, auto_class: str, where: str) -> Loaded:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        tokens = transformers.AutoTokenizer.from_pretrained(tokenizer, revision=revision if tokenizer == name else None)
        model, report = getattr(transformers, auto_class).from_pretrained(name, revision=revision, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{where}: '{name}' can't be loaded as {auto_class} ({str(error).splitlines()[0]}): name one that can.") from None
    if report["missing_keys"]:
        raise StudyError(f"{where}: '{name}' has no weights for {min(report['missing_keys'])}: it was not trained as {auto_class}.")
    return Loaded(model.eval(), tokens)


@contextmanager
def exact_inference() -> Iterator[None]:
    """No gradients, and one thread: how sums are split among threads shows in their last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
