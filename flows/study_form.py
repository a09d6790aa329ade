"""The form in Prefect's UI by which a study with other parameters is asked for: the schema of the study, filled in with params.yaml."""

from typing import Any

import yaml

from models.ladder import PRESETS
from tasks.layout import PARAMS
from tasks.study import Study, load_study

# What people change from study to study first, what is long and rarely changed last: the form can't be folded.
ORDER = (
    "name",
    "question",
    "mixtures",
    "ladder",
    "target",
    "recipes",
    "swarms",
    "training",
    "evaluation",
    "tokenizer",
    "heldout",
    "seed",
    "hardware",
)
DEFINITIONS = "#/definitions/"


def study_form() -> tuple[dict[str, Any], dict[str, Any]]:
    """The property of the flow's parameter schema that is the study, and the definitions that it refers to.

    Raises:
        StudyError: params.yaml is not valid.
    """
    load_study()
    schema = _as_prefect_refers(Study.model_json_schema())
    definitions = schema.pop("$defs")
    definitions["Ladder"]["properties"]["sizes"]["description"] += f": {', '.join(PRESETS)}"  # as an enum, Prefect hides which ones are chosen
    for position, name in enumerate(sorted(schema["properties"], key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))):
        schema["properties"][name]["position"] = position
    form = {
        "title": "study",
        "description": f"What to ask. As it stands it is {PARAMS}; when you change it, it runs beside that and becomes a DVC experiment.",
        "allOf": [{"$ref": f"{DEFINITIONS}{Study.__name__}"}],
        "default": yaml.safe_load(PARAMS.read_text(encoding="utf-8")),
        "position": 0,
    }
    return form, {**definitions, Study.__name__: schema}


def _as_prefect_refers(schema: Any) -> Any:
    """Pydantic's schema with its references where Prefect keeps definitions."""
    if isinstance(schema, dict):
        return {key: _as_prefect_refers(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_as_prefect_refers(part) for part in schema]
    return schema.replace("#/$defs/", DEFINITIONS) if isinstance(schema, str) else schema
