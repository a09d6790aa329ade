"""Writes `docs/steps.md` from the steps themselves: `python -m tasks.steps.manual`."""

import inspect
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from tasks.atomic import replace_file
from tasks.steps.base import BatchStep, StepConfig
from tasks.steps.config import Step

PAGE = Path(__file__).parents[2] / "docs" / "steps.md"
SHOWN_CHARACTERS = 80  # of a default; longer ones are in the code
INTRODUCTION = """# Curation steps

Written by `python -m tasks.steps.manual` from `tasks/steps/`: change it there.

A recipe is a list of steps (`recipes` in `params.yaml`), each a mapping with its name as `step`. A step annotates (adds columns), decides (drops
documents, each with a reason and, where there is one, value and threshold) or rewrites the text. Fields without a default must be given.
"""


def manual() -> str:
    steps: tuple[type[StepConfig], ...] = get_args(get_args(Step)[0])
    shared = [name for name in StepConfig.model_fields if name != "step"]
    parts = [INTRODUCTION, "Every step has:\n", table(StepConfig, shared)]
    for step in steps:
        parts += [f"\n## `{name_of(step)}`\n", f"{inspect.getdoc(step)}\n", f"{what_it_is(step)}\n"]
        if own := [name for name in step.model_fields if name not in ("step", *shared)]:
            parts.append(table(step, own))
    return "\n".join(parts)


def name_of(step: type[StepConfig]) -> str:
    return get_args(step.model_fields["step"].annotation)[0]


def what_it_is(step: type[StepConfig]) -> str:
    scope = "Looks at one document at a time." if issubclass(step, BatchStep) else "Needs the whole corpus."
    return f"{scope} Code: `{step.__module__.replace('.', '/')}.py`, version {step.version}."


def table(step: type[StepConfig], names: list[str]) -> str:
    rows = [f"| `{name}` | {default(step.model_fields[name])} | {meaning(step.model_fields[name])} |" for name in names]
    return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows, ""])


def default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    text = json.dumps(to_jsonable_python(value), ensure_ascii=False)
    return f"`{cell(text)}`" if len(text) <= SHOWN_CHARACTERS else "see the code"


def meaning(field: FieldInfo) -> str:
    choices = [json.dumps(choice) for choice in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []
    return cell("; ".join(filter(None, [field.description, f"one of {', '.join(choices)}" if choices else None])))


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    with replace_file(PAGE) as page:
        page.write_text(manual(), encoding="utf-8")
