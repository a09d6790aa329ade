"""DVC's graph as the study's: addresses, what feeds what, and DVC's errors in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.graph import StudyGraph
from models.frozen import StudyError
from tests.flows.small_study import SmallStudy


def test_stages_and_what_they_depend_on_are_dvcs(study: SmallStudy):
    graph = StudyGraph()
    assert set(graph.addresses) == {"first", "each@left", "each@right", "all", "last", "alone"}
    assert graph.upstream["first"] == ()
    assert graph.upstream["each@left"] == ("first",)
    assert set(graph.upstream["all"]) == {"each@left", "each@right"}
    assert graph.upstream["last"] == ("all",)
    for address in graph.addresses:
        assert all(graph.addresses.index(before) < graph.addresses.index(address) for before in graph.upstream[address])


def test_the_projects_own_stages_are_read():
    """The real dvc.yaml, with its stages that take the whole machine."""
    graph = StudyGraph()
    assert {"split", "tokenizer", "fit", "report"} <= set(graph.addresses)
    pretrain = next(address for address in graph.addresses if address.startswith("pretrain@"))
    assert graph.needs(pretrain).cores_of(16) == 16 and graph.needs("split").cores_of(16) == 1
    assert any(before.startswith("tokenize@") for before in graph.upstream[pretrain])


def test_cores_are_never_more_than_there_are(study: SmallStudy):
    study.write_stages({"left": 0.0}, alone={"meta": {"cores": 8}})
    assert StudyGraph().needs("alone").cores_of(2) == 2


def test_dvc_repro_meanwhile_is_refused_and_told_by_whom(study: SmallStudy):
    graph = StudyGraph()
    with graph.claim("first"):
        done = subprocess.run([sys.executable, "-m", "dvc", "repro", "first"], capture_output=True, text=True)
        assert done.returncode != 0 and f"(PID {os.getpid()})" in done.stderr
    assert study.ran() == []
    study.dvc("repro", "first")
    assert study.ran() == ["first"]


def test_a_study_without_stages_and_a_wrong_dvc_yaml_are_told(study: SmallStudy):
    Path("dvc.yaml").write_text("stages: {first: {outs: [x]}}")
    with pytest.raises(StudyError, match=r"^DVC: .*dvc.yaml") as caught:
        StudyGraph()
    assert "\n" not in str(caught.value)
    Path("dvc.yaml").unlink()
    with pytest.raises(StudyError, match=r"There is no dvc\.yaml here"):
        StudyGraph()
