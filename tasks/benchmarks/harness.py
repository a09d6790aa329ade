"""lm-eval in this process: tasks loaded once, then asked of one model after another; our metrics from lm-eval's own log-likelihoods."""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from models.frozen import StudyError, nearest
from tasks.benchmarks.choice_metrics import ACCURACY, MUTUAL_INFORMATION_ACCURACY, NORMALIZED_ACCURACY, averages, choice_metrics
from tasks.benchmarks.counting_backend import CountingHFLM
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.version import version_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns that a loaded model was given, and of each truncation, which is counted here

OUR_NAMES = {"acc": ACCURACY, "acc_norm": NORMALIZED_ACCURACY, "acc_mutual_info": MUTUAL_INFORMATION_ACCURACY}
TRUNCATED_ITEMS = "truncated_items"  # how many had a prompt that was cut on the left to fit the context; no row where there were none
FEWSHOT_SEED = 1234  # lm-eval's own default


class Harness:
    """lm-eval tasks, and their version by metric."""

    def __init__(self, paths: Sequence[Path], names: Sequence[str], max_items: int):
        """Loads the tasks of YAML files, and lm-eval's own by name.

        Raises:
            StudyError: on an unknown name, data that can't be reached, or an item without a right answer.
        """
        self.max_items = max_items
        manager = TaskManager(include_defaults=bool(names))  # to index lm-eval's thousands of tasks takes seconds
        self.tasks: dict[str, ConfigurableTask] = {}
        for spec in [*map(str, paths), *names]:
            self.tasks |= load_tasks(manager, spec, max_items)
        self.definitions = {name: definition(task, max_items) for name, task in self.tasks.items()}

    def ask(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_sequences: int) -> dict[str, dict[str, Estimate]]:
        """Metrics by task of one model."""
        if not self.tasks:
            return {}
        for task in self.tasks.values():
            task.set_fewshot_seed(FEWSHOT_SEED)  # anew, else each model would see other examples
        language_model = CountingHFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_sequences)
        results = evaluate(language_model, cast(Any, {"tasks": self.tasks}), limit=self.max_items, bootstrap_iters=100)
        assert results is not None  # None is for other ranks than the first
        return {name: self._estimates(name, results, language_model.truncated) for name in self.tasks}

    def version(self, name: str, metric: str) -> str:
        return version_of(self.definitions[name], metric, f"lm-eval {lm_eval.__version__}")

    def _estimates(self, name: str, results: Any, truncated: set[tuple[str, str]]) -> dict[str, Estimate]:
        task, samples = self.tasks[name], results["samples"][name]
        theirs = harness_estimates(results["results"][name], len(samples))
        ours = averages([item_metrics(task, sample) for sample in samples]) if is_single_choice(task) else {}
        if any(estimate.value is None for estimate in ours.values()):  # lm-eval takes one of several NaNs for the likeliest
            theirs = dict.fromkeys(theirs, Estimate(value=None, count=len(samples)))
        for metric in ours.keys() & theirs.keys():
            assert agree(ours[metric].value, theirs[metric].value), (name, metric, ours[metric], theirs[metric])
        cut = sum(any(tuple(arguments[:2]) in truncated for arguments in sample["arguments"]) for sample in samples)
        counted = {TRUNCATED_ITEMS: Estimate(value=cut, count=len(samples))} if cut else {}
        return theirs | ours | counted


def load_tasks(manager: TaskManager, spec: str, max_items: int) -> dict[str, ConfigurableTask]:
    """The tasks of a name (a group has several) or of a YAML file, with few-shot prompts as the task asks for, or none."""
    import httpx

    if spec not in manager.all_tasks and not Path(spec).is_file():
        close = nearest(spec, manager.all_tasks)
        raise StudyError(f"evaluation.lm_eval_tasks: '{spec}' is neither a task of lm-eval{close} nor the path of a task's YAML file.")
    try:
        tasks = cast("dict[str, ConfigurableTask]", manager.load([spec])["tasks"])
    except (OSError, httpx.HTTPError) as error:
        raise StudyError(
            f"evaluation.lm_eval_tasks: the data of '{spec}' can't be reached ({type(error).__name__}): load the task once where there is a"
            " network and copy the Hugging Face cache (HF_HOME) here, or give the path of a task's YAML file whose data are local files."
        ) from error
    for name, task in tasks.items():
        if task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
        if is_single_choice(task):
            for number, document in enumerate(first_items(task, max_items)):
                if right_choice(task, document) is None:
                    raise StudyError(f"{name}: item {number} has no right answer: mend or remove it.")
    return tasks


def is_single_choice(task: ConfigurableTask) -> bool:
    return task.OUTPUT_TYPE == "multiple_choice" and not task.multiple_target


def right_choice(task: ConfigurableTask, document: dict[str, Any]) -> int | None:
    """Index of an item's right choice, None when it has none. In a task of several prompts and one continuation the index stands in for the text."""
    choices = task.doc_to_choice(document)
    target = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    if isinstance(target, str):
        return choices.index(target) if target in choices else None
    return target if isinstance(target, int) and 0 <= target < len(choices) else None


def item_metrics(task: ConfigurableTask, sample: dict[str, Any]) -> dict[str, float]:
    """Metrics of one item from the log-likelihoods that lm-eval logged. With mutual information, the choices' unconditional ones follow."""
    nats = [log_likelihood for log_likelihood, _ in sample["filtered_resps"]]
    num_choices = len(task.doc_to_choice(sample["doc"]))
    num_bytes = [len(arguments[1].encode()) for arguments in sample["arguments"][:num_choices]]
    right = right_choice(task, sample["doc"])
    assert right is not None  # checked when the task was loaded
    return choice_metrics(nats[:num_choices], nats[num_choices:] or None, num_bytes, right)


def harness_estimates(results: dict[str, Any], count: int) -> dict[str, Estimate]:
    """lm-eval's own metrics (`acc,none`, `acc_stderr,none`), under our names where we have one."""
    estimates = {}
    for key, value in results.items():
        if "," in key and "_stderr," not in key and isinstance(value, int | float):
            stderr = results.get(key.replace(",", "_stderr,", 1))
            estimates[OUR_NAMES.get(key.split(",")[0], key)] = Estimate(value=finite(value), stderr=finite(stderr), count=count)
    return estimates


def agree(value: float | None, other: float | None) -> bool:
    return value == other or (value is not None and other is not None and math.isclose(value, other, abs_tol=1e-9))


def finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def definition(task: ConfigurableTask, max_items: int) -> dict[str, Any]:
    """What decides a task's numbers besides the model: its configuration without paths, and all that it asks, word by word."""
    config = {key: value for key, value in task.dump_config().items() if key not in ("dataset_kwargs", "metadata")}
    task.set_fewshot_seed(FEWSHOT_SEED)
    task.build_all_requests(limit=max_items)
    requests = [instance.args for instance in task.instances]
    answers = [task.doc_to_target(document) for document in first_items(task, max_items)]
    return json.loads(json.dumps({"config": config, "requests": requests, "answers": answers}, default=name_of))


def name_of(value: Any) -> str:
    """Of a function or an object in a task's configuration, without its address, which is another one in each process."""
    return getattr(value, "__qualname__", type(value).__qualname__)


def first_items(task: ConfigurableTask, max_items: int) -> Iterator[dict[str, Any]]:
    """Those that are asked: a task's own order, no more than `max_items`."""
    return islice(cast("Iterable[dict[str, Any]]", task.eval_docs), max_items)
