"""dvc.yaml is the only list of stages; what a stage's result depends on is among its dependencies."""

import grimp
import pytest
import yaml

from tests.conftest import PROJECT

STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
# How a stage is started, told of and written, not what it computes. `tasks.study` is here because params.yaml is a dependency of its own.
PLUMBING = {
    "models.frozen",
    "models.hardware",
    "tasks.atomic",
    "tasks.layout",
    "tasks.lineage",
    "tasks.processes",
    "tasks.stage",
    "tasks.study",
    "tasks.tracking",
}
# What other stages' records look like, read by those after them: a change shows in the record, which is a dependency.
RECORDS = {"tasks.run_directory", "tasks.tokenize_corpus", "tasks.evaluation_table", "models.laws.record", "models.verdict"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tasks", "models")


def code_of(stage: str, imports: grimp.ImportGraph) -> set[str]:
    """The modules that decide a stage's result: its own, and what these import."""
    definition = STAGES[stage].get("do", STAGES[stage])
    waiting, found = [definition["cmd"].split()[2]], set()
    while waiting:
        module = waiting.pop()
        if module not in found | PLUMBING and (module not in RECORDS or not found):
            found.add(module)
            waiting += imports.find_modules_directly_imported_by(module)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_decides_its_result(stage, imports):
    dependencies = [str(dependency) for dependency in STAGES[stage].get("do", STAGES[stage])["deps"]]
    paths = {module.replace(".", "/") for module in code_of(stage, imports)}
    missing = {path for path in paths if not any(f"{path}.py" == d or f"{path}/".startswith(f"{d}/") for d in dependencies)}
    packages = {path for path in missing if (PROJECT / path / "__init__.py").exists()}  # a package's own file only says what it is
    assert not missing - packages


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_leaves_the_last_good_output_in_place_when_it_fails(stage):
    for out in STAGES[stage].get("do", STAGES[stage])["outs"]:
        assert all(options == {"persist": True} for options in out.values())
