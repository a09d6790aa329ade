"""What Prefect's form asks for, and what of it Prefect itself refuses."""

from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid

from flows.study_form import study_form
from tasks.study import Study, load_study
from tests.flows.small_study import PARAMS


@pytest.fixture
def schema(study_folder) -> dict[str, Any]:
    form, definitions = study_form()
    return {"type": "object", "properties": {"params": form}, "definitions": definitions}


def test_as_it_stands_it_is_the_study_of_the_folder(schema):
    asked = schema["properties"]["params"]["default"]
    assert Study.model_validate(asked) == load_study()
    assert is_valid({"params": asked}, schema)


def test_what_a_person_changes_first_comes_first_and_all_is_described(schema):
    assert "10k, 30k, 100k" in schema["definitions"]["Ladder"]["properties"]["sizes"]["description"]
    study = schema["definitions"]["Study"]["properties"]
    assert sorted(study, key=lambda name: study[name]["position"])[:4] == ["name", "question", "mixtures", "ladder"]
    for model in ("Study", "Target", "Ladder", "Mixture", "Recipe", "Swarm", "Hardware", "EvaluationConfig"):
        for name, field in schema["definitions"][model]["properties"].items():
            described = field if "$ref" not in field else schema["definitions"][field["$ref"].rsplit("/", 1)[-1]]
            assert described.get("description"), f"{model}.{name}"


@pytest.mark.parametrize(
    "change",
    [
        {"target": PARAMS["target"] | {"confidence": 2}},
        {"ladder": PARAMS["ladder"] | {"sizes": [30]}},
        {"evaluation": {"suite": "none"}},
        {"mixtures": {"m": {"recipe": "raw", "weights": "naturally"}}},
        {"recipes": {"raw": {"from": "pool", "steps": [{"step": "normalise"}]}}},
        {"mixtrues": {}},
        {"question": None},
    ],
)
def test_a_bad_value_is_refused_by_prefect(schema, change):
    assert is_valid({"params": PARAMS}, schema), "before the change"
    assert not is_valid({"params": PARAMS | change}, schema)
