"""A study that is asked for by a form or by a file."""

from pathlib import Path

import pytest
import yaml

from flows.asked_study import asked_study
from models.frozen import StudyError
from tasks.study import Mixture, Study, load_study
from tests.flows.small_study import PARAMS, SmallStudy


def test_what_means_the_same_is_the_study_of_the_folder(study: SmallStudy):
    form = load_study().model_dump(mode="json", by_alias=True)  # as Prefect's UI sends it: with all defaults
    Path("other.yaml").write_text("# the same\n" + yaml.safe_dump(PARAMS) + "seed: 0\n")
    assert asked_study(None, None) is asked_study(form, None) is asked_study(None, "other.yaml") is None


def test_a_form_changes_of_the_parameter_file_only_what_it_says(study: SmallStudy):
    Path("params.yaml").write_text("# the seed of all\nseed: 0\n" + yaml.safe_dump(PARAMS))
    form = load_study().model_dump(mode="json", by_alias=True)
    form["target"]["confidence"] = 0.8
    form["mixtures"]["n"] = Mixture(recipe="raw", weights="uniform").model_dump(mode="json")
    asked = asked_study(form, None)
    assert asked and asked.name.startswith("small-")
    assert "# the seed of all" in asked.text
    added = {"target": PARAMS["target"] | {"confidence": 0.8}, "mixtures": PARAMS["mixtures"] | {"n": form["mixtures"]["n"]}}
    assert yaml.safe_load(asked.text) == {"seed": 0, **PARAMS} | added
    assert Study.model_validate(yaml.safe_load(asked.text)) == Study.model_validate(form)


def test_a_mixture_that_the_form_drops_is_dropped(study: SmallStudy):
    two = PARAMS | {"mixtures": PARAMS["mixtures"] | {"n": {"recipe": "raw", "weights": "uniform"}}, "seed": 3}
    Path("params.yaml").write_text(yaml.safe_dump(two))
    asked = asked_study(PARAMS, None)
    assert asked and Study.model_validate(yaml.safe_load(asked.text)) == Study.model_validate(PARAMS)


def test_the_same_parameters_have_the_same_name(study: SmallStudy):
    Path("other.yaml").write_text(yaml.safe_dump(PARAMS | {"seed": 1}))
    by_file, by_form = asked_study(None, "other.yaml"), asked_study(PARAMS | {"seed": 1}, None)
    assert by_file and by_form and by_file.name == by_form.name
    other = asked_study(PARAMS | {"seed": 2}, None)
    assert other and other.name != by_form.name


def test_what_is_not_valid_is_refused(study: SmallStudy):
    with pytest.raises(StudyError, match=r"^the form: mixtures.m: weights sum to 0.9, not to 1"):
        asked_study(PARAMS | {"mixtures": {"m": {"recipe": "raw", "weights": {"d": 0.9}}}}, None)
    with pytest.raises(StudyError, match=r"^the form: ladder.*'31k'.*did you mean"):
        asked_study(PARAMS | {"ladder": PARAMS["ladder"] | {"sizes": ["31k"]}}, None)
    with pytest.raises(StudyError, match="two studies to run"):
        asked_study(PARAMS, "other.yaml")
