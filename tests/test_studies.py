"""Ready-made studies are complete parameter files that say what they ask and cost."""

import pytest

from tasks.study import load_study
from tests.conftest import PROJECT

STUDIES = sorted((PROJECT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_loads_and_says_what_it_costs(path, default_study):
    study = load_study(path)
    assert study.name == path.stem
    assert study != default_study
    assert study.sources == default_study.sources, "the same text, fetched and tokenized once"
    head = [line for line in path.read_text().splitlines()[:5] if line.startswith("#")]
    assert any("Expected cost" in line for line in head) and any(f"assay run studies/{path.name}" in line for line in head)


def test_there_are_some():
    assert len(STUDIES) >= 2
