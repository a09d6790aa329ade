"""Studies beside each other: `assay run other.yaml` in a repository of the small study."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.workspaces import WORKSPACES
from tests.flows.program import COMMAND, assay, environment, processes_of
from tests.flows.small_study import PARAMS, SmallStudy

pytestmark = pytest.mark.slow


def git(*arguments: str) -> str:
    person = ["-c", "user.name=a", "-c", "user.email=a"]
    return subprocess.run(["git", *person, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(study: SmallStudy) -> SmallStudy:
    """Committed and run; `last` depends on the study's question."""
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    Path(".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    Path(".gitignore").write_text("/data/\n/.assay/\nintervals.jsonl\n__pycache__/\n")
    Path(".dvcignore").write_text("/.assay\n")
    unless_forbidden = f"test ! -e {study.folder}/forbidden && python work.py"
    study.write_stages(
        {"left": 0.0, "right": 0.0},
        each={"cmd": f"{unless_forbidden} each@${{key}} 0 data/each/${{key}} data/first"},
        alone={"cmd": f"{unless_forbidden} alone 0 data/alone"},
        last={"params": ["question"]},
    )
    git("init", "--quiet")
    study.dvc("repro", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "a study")
    return study


def other(**changes: object) -> str:
    Path("other.yaml").write_text(yaml.safe_dump(PARAMS | changes))
    return "other.yaml"


def test_another_study_becomes_an_experiment_and_touches_nothing_here(repository):
    with Path("work.py").open("a") as file:
        file.write("# not committed\n")
    repository.dvc("repro", "--quiet")
    before = {name: Path(name).read_bytes() for name in ("params.yaml", "dvc.lock", "work.py", "data/last")}
    repository.ran()
    done = assay("run", other(question="Does that run?"))
    assert done.returncode == 0, done.stderr
    [name] = [line.split()[4].rstrip(":") for line in done.stdout.splitlines() if line.startswith("Kept as the experiment")]
    assert {path: Path(path).read_bytes() for path in before} == before
    assert not list(WORKSPACES.glob("small-*[!.lock]")), "its workspace is gone"
    assert len(git("worktree", "list").splitlines()) == 1
    assert name in repository.dvc("exp", "list", "--all-commits")
    difference = json.loads(repository.dvc("exp", "diff", "HEAD", name, "--json"))
    assert difference["params"]["params.yaml"]["question"]["new"] == "Does that run?"
    git("checkout", "--", "dvc.lock", "work.py")
    repository.dvc("exp", "apply", name)
    assert "# not committed" in Path("work.py").read_text(), "the code that it ran with"
    assert yaml.safe_load(Path("params.yaml").read_text())["question"] == "Does that run?"
    said = repository.dvc("repro")
    assert "Running stage" not in said and "up to date" in said


def test_only_what_differs_runs(repository):
    Path("forbidden").touch()
    done = assay("run", other(question="Does that run?"), "--cores", "2")
    assert done.returncode == 0, done.stderr
    forced = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "alone"], capture_output=True)
    assert forced.returncode, "a stage that runs now fails"


def test_a_study_that_failed_keeps_its_workspace_and_goes_on_in_it(repository):
    (repository.folder / "in.txt").write_text("text")
    when_allowed = {"params": ["question"], "cmd": "test -e ../../../may && python work.py last 0 data/last data/all"}
    repository.write_stages({"left": 0.0, "right": 0.0}, last=when_allowed)
    done = assay("run", other(question="Does that run?"))
    assert done.returncode == 2
    kept = [path for path in WORKSPACES.iterdir() if path.is_dir()]
    assert len(kept) == 1 and f"its workspace is kept: {kept[0]}." in done.stderr
    Path("may").touch()
    assert assay("run", "other.yaml").returncode == 0
    assert not kept[0].exists()


def test_what_can_not_be_asked_is_one_sentence(repository):
    Path("other.yaml").write_text(yaml.safe_dump(PARAMS | {"question": 3}))
    done = assay("run", "other.yaml")
    assert done.returncode == 2 and done.stderr.startswith("assay: other.yaml: 'question' is 3"), done.stderr
    assert not WORKSPACES.exists(), "nothing was begun"
    done = assay("run", other())
    assert done.returncode == 2 and "asks for the same as params.yaml here" in done.stderr


def test_two_studies_run_at_the_same_time(repository):
    repository.write_stages({"left": 0.0, "right": 0.0}, last={"params": ["question"], "cmd": "sleep 3 && python work.py last 0 data/last data/all"})
    for number in (1, 2):
        Path(f"{number}.yaml").write_text(yaml.safe_dump(PARAMS | {"question": f"Study {number}?"}))
    programs = [subprocess.Popen([*COMMAND, "run", f"{number}.yaml"], env=environment(), stderr=subprocess.PIPE, text=True) for number in (1, 2)]
    for program in programs:
        assert program.wait(240) == 0, program.stderr.read() if program.stderr else ""
    assert len(repository.dvc("exp", "list", "--name-only").split()) == 2
    assert not [command for command in processes_of(repository.folder) if sys.executable in command]
