"""A table of readers and writers of which a killed process left a part."""

from pathlib import Path

import pytest

from flows import dvc_table
from flows.graph import StudyGraph
from tests.flows.small_study import SmallStudy

TABLE = Path(".dvc/tmp/rwlock")


@pytest.mark.parametrize("part", ["", '{"write": {"a": {"pid": 1, '])
def test_a_part_of_the_table_stops_nobody(study: SmallStudy, part: str):
    graph = StudyGraph()
    TABLE.write_text(part)
    with graph.locked(), graph.claim("first"):
        assert '"write"' in TABLE.read_text()
    study.dvc("status")


def test_a_writer_that_is_killed_leaves_the_table_that_was(study: SmallStudy, monkeypatch):
    graph = StudyGraph()
    with graph.locked(), graph.claim("first"):
        before = TABLE.read_text()

        def killed(*_: object, **__: object) -> None:
            raise SystemExit

        monkeypatch.setattr(dvc_table.dvc.rwlock.json, "dump", killed)
        with pytest.raises(SystemExit), graph.claim("alone"):
            pass
        assert TABLE.read_text() == before
        monkeypatch.undo()
