"""What each curation step does to fixed documents is what its version did when it was recorded.

To record anew, after raising the `version` of the steps that changed: `python -m tests.golden.test_steps`.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json, write_json
from tasks.steps.base import StepConfig, StepContext
from tasks.steps.config import Step
from tasks.steps.pipeline import run_steps
from tests.conftest import PROJECT
from tests.golden.step_cases import CASES, documents_for, place_files

GOLDEN = Path(__file__).parent / "steps.json"
STEPS: dict[str, type[StepConfig]] = {get_args(step.model_fields["step"].annotation)[0]: step for step in get_args(get_args(Step)[0])}
GATES = set(StepConfig.gates)
DECIMALS = 3  # of shares and scores: what differs between processors is behind them


class Behaviour(Frozen):
    version: int
    digests: tuple[str, ...]  # of what the step makes of the corpus, one per case


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With what steps read besides the corpus. The archives are the checkout's own: the language model is fetched once."""
    monkeypatch.setattr(layout, "ARCHIVES", PROJECT / layout.ARCHIVES)
    monkeypatch.chdir(tmp_path)
    place_files(tmp_path)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_does_what_its_version_did(name: str, tmp_path: Path):
    recorded = read_json(GOLDEN)
    assert name in recorded, f"Step '{name}' is new: give it cases in tests/golden/step_cases.py and record it (`python -m tests.golden.test_steps`)."
    golden, now = Behaviour.model_validate(recorded[name]), behaviour(name, tmp_path)
    assert now == golden or now.version > golden.version, (
        f"Step '{name}' no longer does what its version {golden.version} did: if that is meant, raise `version` in {STEPS[name].__name__} and "
        "record it (`python -m tests.golden.test_steps`); a library that changed under it counts too."
    )
    assert now == golden, f"Step '{name}' has version {now.version}, recorded is {golden.version}: record it (`python -m tests.golden.test_steps`)."


@pytest.mark.parametrize("name", STEPS)
def test_the_cases_show_what_a_step_does(name: str, tmp_path: Path):
    """Each keeps some documents; those of a step that drops or changes any do so."""
    for case, settings in enumerate(CASES[name]):
        kept, removed, _ = outcome(step_of(name, settings), tmp_path / str(case))
        assert kept
        assert removed or kept != documents_for(name).to_pylist()


def behaviour(name: str, directory: Path) -> Behaviour:
    """Defaults count too: a bound that no document here touches is part of what a step does. Those of gates don't."""
    digests = []
    for case, settings in enumerate(CASES[name]):
        step = step_of(name, settings)
        result = step.model_dump(mode="json", exclude=GATES), *outcome(step, directory / str(case))
        digests.append(hashlib.blake2b(json.dumps(rounded(result)).encode(), digest_size=16).hexdigest())
    return Behaviour(version=STEPS[name].version, digests=tuple(digests))


def step_of(name: str, settings: dict[str, Any]) -> StepConfig:
    return TypeAdapter(Step).validate_python({"step": name, **dict.fromkeys(GATES, 1), **settings})


def outcome(step: StepConfig, directory: Path) -> tuple[list[dict], list[dict], list[dict]]:
    """The documents kept and removed, and what there is to know of the step; the corpus comes in two shards."""
    table = documents_for(step.step)
    directory.mkdir()
    (directory / "step").mkdir()
    shards = [directory / f"{shard}.parquet" for shard in range(2)]
    for shard, path in enumerate(shards):
        pq.write_table(table.slice(shard * 30, 30 if shard == 0 else None), path)
    context = StepContext(seed=0, recipe="golden", directory=directory)
    ran = run_steps((step,), shards, context, [directory / "step"], one_after_the_other)
    kept, removed = ([row for path in paths for row in pq.read_table(path).to_pylist()] for paths in (ran.kept, ran.removed[0]))
    return kept, removed, ran.records


def one_after_the_other(function: Callable[..., Any], stage: Any, paths: list[Path], contexts: list[StepContext]) -> list[Any]:
    return [function(stage, path, context) for path, context in zip(paths, contexts, strict=True)]


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in sorted(value.items())}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    import tempfile

    layout.ARCHIVES = PROJECT / layout.ARCHIVES
    record = {}
    for step_name in STEPS:
        with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
            place_files(Path(directory))
            record[step_name] = behaviour(step_name, Path(directory)).model_dump(mode="json")
    write_json(GOLDEN, record)
