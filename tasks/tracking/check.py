"""Whether MLflow says of a proxy run what the files say."""

from collections.abc import Iterator
from typing import Any

from tasks.run_directory import RunResult
from tasks.tracking.child import BEGUN, EVALUATION_MD5, PARAMS, RESULT_MD5, RUN_KEY, STATUS, md5_of
from tasks.tracking.reader import RecordedRun


def contradictions(recorded: RecordedRun, result: RunResult, evaluation: list[dict[str, Any]]) -> Iterator[str]:
    """One clause each, of a run, its `result.json` and its rows of the evaluation table."""
    facts = result.model_dump(mode="json")
    expected = {name: str(getattr(result, name)) for name in PARAMS}
    expected |= {f"weight/{domain}": str(weight) for domain, weight in result.weights_by_domain.items()}
    for name, value in expected.items():
        if name in recorded.params and recorded.params[name] != value:
            yield f"its param {name} is {recorded.params[name]}, and {value} in result.json"
    tags = {RUN_KEY: result.run_key, "mixture": result.mixture, "recipe": result.recipe, STATUS: result.status}
    for name, value in tags.items():
        if recorded.tags.get(name, value) != value:
            yield f"its tag {name} is {recorded.tags[name]}, and {value} in result.json"
    if recorded.tags.get(RESULT_MD5, md5_of(facts)) != md5_of(facts):
        yield f"its tag {RESULT_MD5} is not of this result.json"
    evaluated = recorded.tags.get(EVALUATION_MD5)
    if evaluated and evaluated.endswith(BEGUN):
        yield "its evaluation is recorded in part: `dvc repro` records the rest"
    elif evaluated and evaluated != md5_of(evaluation):
        yield f"its tag {EVALUATION_MD5} is not of its rows in the evaluation table"
