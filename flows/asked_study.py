"""A study that somebody asks for: by a parameter file, or by the form in Prefect's UI."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
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
    if form is not None:
        study = parse_study(form, FORM)
        text = rewritten(PARAMS.read_text(encoding="utf-8"), load_study(), study)
    elif file is not None:
        study = load_study(file)
        text = Path(file).read_text(encoding="utf-8")
    else:
        return None
    values = yaml.safe_load(text)
    if PARAMS.exists() and values == yaml.safe_load(PARAMS.read_text(encoding="utf-8")):
        return None
    return AskedStudy(name=f"{study.name}-{digest(values)}", text=text)


def digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]


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
