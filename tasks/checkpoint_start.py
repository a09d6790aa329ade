"""Whether runs can start from a checkpoint: it is the one that the study means, with the study's tokenizer."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.frozen import StudyError
from models.ladder import Checkpoint
from models.training_plan import TrainingConfig
from tasks import layout
from tasks.steps.pinned import PinnedFile

TOKENIZER = "tokenizer.json"
DECIDES_TOKENS = ("normalizer", "pre_tokenizer", "model", "added_tokens")  # of a tokenizer's file; the rest is padding, decoding and templates


def checked_sha256(checkpoint: Checkpoint, where: str, training: TrainingConfig) -> str:
    """The checkpoint's SHA-256.

    Raises:
        StudyError: when it is not there, another one, has another tokenizer, or can't be trained in the parametrisation asked for.
    """
    PinnedFile(path=checkpoint.path, sha256=checkpoint.sha256).at(where)
    if training.mup_base:
        raise StudyError(f"{where}: a run that starts from a checkpoint has its parametrisation, the standard one: leave training.mup_base out.")
    files = [Path(checkpoint.path) / TOKENIZER, layout.TOKENIZER / TOKENIZER]
    if absent := next((file for file in files if not file.exists()), None):
        raise StudyError(f"{where}: its tokenizer can't be compared with the study's, as there is no {absent}.")
    if difference := _difference(*(_deciding(file, file.stat().st_mtime_ns) for file in files)):
        raise StudyError(f"{where}: its tokenizer is not the study's ({difference}): set tokenizer.path to '{checkpoint.path}'.")
    assert checkpoint.sha256
    return checkpoint.sha256


@lru_cache
def _deciding(file: Path, changed_ns: int) -> dict[str, Any]:
    values = json.loads(file.read_text(encoding="utf-8"))
    return {part: values.get(part) for part in DECIDES_TOKENS}


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str | None:
    """The first one, in words."""
    one, other = (of["model"].get("vocab", {}) if isinstance(of["model"].get("vocab"), dict) else {} for of in (theirs, ours))
    if len(one) != len(other):
        return f"{len(one):,} tokens in its vocabulary, {len(other):,} in the study's"
    if token := next((token for token, number in one.items() if other.get(token) != number), None):
        return f"token '{token}' is number {one[token]} there, and {other.get(token, 'none')} in the study's"
    return next((f"another {part}" for part in DECIDES_TOKENS if theirs[part] != ours[part]), None)
