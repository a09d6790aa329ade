"""A fastText classifier of somebody's, from a file: its labels and their probabilities."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from models.frozen import StudyError, nearest

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

LABEL = "__label__"


def load(path: Path, where: str) -> "_FastText":
    """Args:
        where: the place in the study that names the file.

    Raises:
        StudyError: when the file holds no fastText model.
    """
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise StudyError(f"{where}: '{path}' is no fastText model: {error}") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_label(classifier: "_FastText", label: str, where: str) -> str:
    """The label as the model has it, whether it was named with or without `__label__`.

    Raises:
        StudyError: when the model has no such label.
    """
    labels = cast("list[str]", classifier.get_labels())
    full = LABEL + label.removeprefix(LABEL)
    if full not in labels:
        shown = ", ".join(sorted(known.removeprefix(LABEL) for known in labels)[:20])
        raise StudyError(f"{where}: the classifier has no label '{label}'{nearest(full, labels)}; it has {shown}.")
    return full


def label_probabilities(classifier: "_FastText", label: str, texts: Sequence[str]) -> list[float]:
    """The label's probability for each text, as one line."""
    if not texts:
        return []
    labels, probabilities = classifier.predict([" ".join(text.split()) for text in texts], k=-1)
    by_text = (dict(zip(*pair, strict=True)) for pair in zip(labels, probabilities, strict=True))
    return [min(float(found[label]), 1.0) for found in by_text]  # rounding takes the sum of probabilities over 1
