"""A study that somebody asks for: by a parameter file, or by the form in Prefect's UI."""

import hashlib
import json
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from models.frozen import Frozen, StudyError
from tasks.layout import PARAMS
from tasks.study import Study, load_study, parse_study

FORM = "the form"


class AskedStudy(Frozen):
    """A study with other parameters than the checkout's. `name` tells them from all others: the same parameters have the same one."""

    name: str
    text: str  # its parameter file


def asked_study(form: dict[str, Any] | None, file: str | None) -> AskedStudy | None:
    """The study of a form or of a parameter file; None when it is the checkout's.

    Raises:
        StudyError: it is not valid.
    """
    if form is not None and file is not None:
        raise StudyError(f"There are two studies to run, that of the form and that of {file}: give one of them.")
    if form is None and file is None:
        return None
    study = parse_study(form, FORM) if file is None else load_study(file)
    here = load_study() if PARAMS.exists() else None
    if study == here:
        return None
    text = (
        Path(file).read_text(encoding="utf-8") if file else rewritten(PARAMS.read_text(encoding="utf-8"), here, study) if here else dumps_yaml(form)
    )
    return AskedStudy(name=f"{study.name}-{digest(study)}", text=text)


def digest(study: Study) -> str:
    return hashlib.sha256(json.dumps(study.model_dump(mode="json", by_alias=True), sort_keys=True).encode()).hexdigest()[:8]


def rewritten(text: str, old: Study, new: Study) -> str:
    """The parameter file of the study `old`, changed to say `new`. What means the same stays as it is written, comments and absent defaults too:
    DVC compares what is written."""
    document = parse_yaml_for_update(text, str(PARAMS))
    _rewrite(document, *(study.model_dump(mode="json", by_alias=True) for study in (old, new)))
    return dumps_yaml(document)


def _rewrite(written: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    for key in [key for key in written if key not in new]:
        del written[key]
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        if all(isinstance(each.get(key), dict) for each in (written, old, new)):
            _rewrite(written[key], old[key], value)
        else:
            written[key] = value
