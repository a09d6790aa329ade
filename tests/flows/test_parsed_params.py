"""Parameters are parsed once, and a change of them is seen at once."""

from pathlib import Path

import yaml

from flows import parsed_params
from flows.graph import StudyGraph
from tests.flows.small_study import PARAMS, SmallStudy


def test_many_stages_parse_the_same_parameters_once_and_see_a_change(study: SmallStudy):
    items: dict[str, float] = dict.fromkeys(("left", "right", "up", "down"), 0.0)
    study.write_stages(items, each={"params": ["question"]})
    study.dvc("repro")
    parsed_params._parsed.cache_clear()
    graph = StudyGraph()
    assert not any(graph.is_stale(address) for address in graph.addresses)
    assert parsed_params._parsed.cache_info().misses == 1
    assert parsed_params._parsed.cache_info().hits >= len(items) - 1
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"question": "Another one?"}))
    assert {address for address in graph.addresses if graph.is_stale(address)} == {f"each@{name}" for name in items}
