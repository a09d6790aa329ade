"""A benchmark as an ordinary lm-eval task on disk: `<name>.yaml` beside `<name>.jsonl`, so that
`lm_eval --tasks <folder>/<name>.yaml --model hf --model_args pretrained=<run>/model` in the study's folder gives the same numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.frozen import Frozen, StudyError
from tasks import layout

CACHE = layout.LOCAL / "benchmarks"  # of `datasets`, which turns JSON lines into Arrow


class ChoiceItem(Frozen):
    """What every multiple-choice item has."""

    id: str
    choices: tuple[str, ...]
    answer: int  # index of the right choice


@dataclass(frozen=True)
class TaskFolder:
    """Where tasks are written, and where they will be read."""

    partial: Path
    home: Path  # relative to the study's folder; takes the place of `partial` when all tasks are written
    end_of_text: str  # a document starts behind it, in training too

    def write(self, name: str, template: str, items: Sequence[Frozen], **settings: Any) -> Path:
        """Writes a task made of a template beside this file and more settings of lm-eval.

        Raises:
            StudyError: on no items, an item without a right answer, or choices that can't be told apart.
        """
        if not items:
            raise StudyError(f"{name} is empty: give it items, or leave it out.")
        for item in items:
            if isinstance(item, ChoiceItem):
                check(name, item)
        lines = (json.dumps(item.model_dump(), ensure_ascii=False) + "\n" for item in items)
        (self.partial / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        task = yaml.safe_load(Path(__file__).with_name(f"{template}.yaml").read_text(encoding="utf-8"))
        task |= {"task": name, "description": self.end_of_text}
        task["dataset_kwargs"] = {"data_files": {"test": str(self.home / f"{name}.jsonl")}, "cache_dir": str(CACHE)}
        return self._write_yaml(name, task | settings)

    def write_group(self, name: str, tasks: Sequence[str]) -> Path:
        """Writes a group of tasks in this folder: lm-eval averages its accuracies over all items."""
        metrics = [{"metric": metric, "aggregation": "mean", "weight_by_size": True} for metric in ("acc", "acc_norm")]
        return self._write_yaml(name, {"group": name, "task": list(tasks), "aggregate_metric_list": metrics, "metadata": {"version": 1.0}})

    def _write_yaml(self, name: str, task: dict[str, Any]) -> Path:
        (self.partial / f"{name}.yaml").write_text(yaml.safe_dump(task, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return self.home / f"{name}.yaml"


def check(benchmark: str, item: ChoiceItem) -> None:
    if not 0 <= item.answer < len(item.choices):
        raise StudyError(f"{benchmark}: item '{item.id}' has no right answer ({item.answer} of {len(item.choices)} choices): mend or remove it.")
    if len(item.choices) < 2:
        raise StudyError(f"{benchmark}: item '{item.id}' has one choice only: give it another, or remove it.")
    if not all(choice.strip() for choice in item.choices):
        raise StudyError(f"{benchmark}: item '{item.id}' has an empty choice: mend or remove it.")
    if len(set(item.choices)) < len(item.choices):
        raise StudyError(f"{benchmark}: item '{item.id}' has the same choice twice, {item.choices}: mend or remove it.")
