"""lm-eval in this process: tasks loaded once, then asked of one model after another; our metrics from lm-eval's own log-likelihoods."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import lm_eval
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from models.frozen import StudyError
from tasks.benchmarks.counting_backend import CountingHFLM
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.loading import first_items, load_tasks
from tasks.benchmarks.task_estimates import ItemMetrics, count_truncated, estimates_of, metrics_of_items
from tasks.benchmarks.version import Outline, digest, version_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns that a loaded model was given, and of each truncation, which is counted here

FEWSHOT_SEED = 1234  # lm-eval's own default
HARNESS = f"lm-eval {lm_eval.__version__}"


class Examined(NamedTuple):
    """Of one model, by task and group."""

    estimates: dict[str, dict[str, Estimate]]
    items: dict[str, list[ItemMetrics]]  # in the order of the items; none of a group whose averages are over its tasks


class Harness:
    """lm-eval tasks and groups, and their version by metric."""

    def __init__(self, paths: Sequence[Path], names: Sequence[str], max_items: int, num_fewshot: int | None = None):
        """Loads the tasks of YAML files (with the others in their folders, which a group may name), and lm-eval's own by name.

        Raises:
            StudyError: on an unknown name, data that can't be reached, an item without a right answer, or two benchmarks of one name.
        """
        self.max_items = max_items
        folders: list[str | Path] = [*sorted({path.parent for path in paths})]
        index_lm_eval = any(not Path(name).is_file() for name in names)  # its thousands of tasks take seconds
        local, theirs = TaskManager(include_defaults=False, include_path=folders), TaskManager(include_defaults=index_lm_eval)
        self.tasks: dict[str, ConfigurableTask] = {}
        self.groups: dict[str, Group] = {}
        written = [path.stem if path.stem in local.all_groups else str(path) for path in paths]  # lm-eval can't load a group by its path
        for spec, manager in [*((spec, local) for spec in written), *((name, theirs) for name in names)]:
            tasks, groups = load_tasks(manager, spec, max_items, num_fewshot)
            if both := (tasks.keys() | groups.keys()) & (self.tasks.keys() | self.groups.keys()):
                raise StudyError(f"evaluation: two benchmarks are called '{sorted(both)[0]}' ({spec} is the second): rename or leave out one.")
            self.tasks |= tasks
            self.groups |= {name: group for name, group in groups.items() if group.has_aggregation}
        self.members = {name: (name,) for name in self.tasks} | {name: names_of(group) for name, group in self.groups.items()}
        self.definitions = {name: definition(task, max_items) for name, task in self.tasks.items()}
        self.outlines = {name: outline(task, self.definitions[name]) for name, task in self.tasks.items()}
        for name, group in self.groups.items():
            self.definitions[name] = {task: self.definitions[task] for task in names_of(group)}
            self.outlines[name] = Outline(harness=HARNESS, settings={}, items=tuple(map(digest, self.definitions[name].values())))

    def ask(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_sequences: int) -> dict[str, dict[str, Estimate]]:
        """Metrics of one model by task, and by group over the items of its tasks."""
        return self.examine(model, tokenizer, batch_sequences).estimates

    def examine(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_sequences: int) -> Examined:
        """The same, with the metrics of each item."""
        if not self.tasks:
            return Examined({}, {})
        for task in self.tasks.values():
            task.set_fewshot_seed(FEWSHOT_SEED)  # anew, else each model would see other examples
        language_model = CountingHFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_sequences)
        asked = cast(Any, {"tasks": self.tasks, "groups": self.groups})
        found = cast(Any, evaluate(language_model, asked, limit=self.max_items, bootstrap_iters=100))
        samples = found["samples"]
        items = {name: metrics_of_items(task, samples[name]) for name, task in self.tasks.items()}
        cut = {name: count_truncated(samples[name], language_model.truncated) for name in self.tasks}
        pooled = {
            name: [item for task in tasks for item in items[task]] if name not in self.groups or is_pooled(self.groups[name]) else []
            for name, tasks in self.members.items()
        }
        estimates = {
            name: estimates_of(
                name,
                found["results"][name],
                pooled[name],
                num_items=sum(len(samples[task]) for task in tasks),
                num_truncated=sum(cut[task] for task in tasks),
            )
            for name, tasks in self.members.items()
        }
        return Examined(estimates, pooled)

    def version(self, name: str, metric: str) -> str:
        return version_of(self.definitions[name], metric, HARNESS)


def names_of(group: Group) -> tuple[str, ...]:
    """Of all tasks in it."""
    return tuple(task.task_name for task in cast("list[ConfigurableTask]", group.get_all_tasks()))


def is_pooled(group: Group) -> bool:
    """Whether its averages are over the items of all its tasks alike."""
    return all(metric.weight_by_size for metric in group.aggregate_metric_list or ())


def definition(task: ConfigurableTask, max_items: int) -> dict[str, Any]:
    """What decides a task's numbers besides the model: its configuration without paths, and all that it asks, word by word."""
    config = {key: value for key, value in task.dump_config().items() if key not in ("dataset_kwargs", "metadata")}
    task.set_fewshot_seed(FEWSHOT_SEED)
    task.build_all_requests(limit=max_items)
    requests = [instance.args for instance in task.instances]
    answers = [task.doc_to_target(document) for document in first_items(task, max_items)]
    return json.loads(json.dumps({"config": config, "requests": requests, "answers": answers}, default=name_of))


def outline(task: ConfigurableTask, definition: dict[str, Any]) -> Outline:
    """Short enough to be kept beside a task's numbers. `definition` has just built the task's requests."""
    requests: dict[int, list[Any]] = {}
    for instance, request in zip(task.instances, definition["requests"], strict=True):
        requests.setdefault(cast(int, instance.doc_id), []).append(request)
    items = tuple(digest([requests[number], answer]) for number, answer in enumerate(definition["answers"]))
    return Outline(harness=HARNESS, settings=definition["config"], items=items)


def name_of(value: Any) -> str:
    """Of a function or an object in a task's configuration, without its address, which is another one in each process."""
    return getattr(value, "__qualname__", type(value).__qualname__)
