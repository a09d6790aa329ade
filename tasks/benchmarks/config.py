"""What `params.yaml` may say about evaluation."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from models.frozen import Frozen, Name
from tasks.probes.config import ProbesConfig

# The usual ten by lm-eval's names, as their data come from the hub; mmlu in cloze form, of which small models show more (arXiv 2406.08446).
CORE = (
    "hellaswag",
    "arc_easy",
    "arc_challenge",
    "piqa",
    "openbookqa",
    "boolq",
    "winogrande",
    "sciq",
    "lambada_openai",
    "mmlu_continuation",
)
OWN = "own"  # the folder of the platform's own items, beside those of files


def _not_own(name: str) -> str:
    if name == OWN:
        raise ValueError(f"'{OWN}' is where the platform's own items are; give yours another name")
    return name


class EvaluationConfig(Frozen):
    """What every run is asked after training."""

    suite: Literal["tiny", "core", "custom"] = Field(
        default="tiny",
        description="`tiny`: the platform's own benchmarks, of held-out text, with no network; `core`: the usual ten of lm-eval, from the hub;"
        " `custom`: neither. What lm_eval_tasks and item_files name is asked besides",
    )
    items_per_benchmark: PositiveInt = Field(default=100, description="items of each benchmark, at most")
    num_fewshot: NonNegativeInt | None = Field(
        default=None,
        description="solved examples in each prompt of lm-eval's tasks and of item_files, the same for all models; as each task says when absent, and"
        " where a task fixes none (the platform's own do)",
    )
    batch_sequences: PositiveInt = Field(default=16, description="sequences per forward pass, at most (on a CPU few are fastest, on a GPU many)")
    definition_domains: tuple[Name, ...] = Field(
        default=("dictionary",), description="of headword, blank line, definition: what definition-choice asks about, per language"
    )
    title_domains: tuple[Name, ...] = Field(
        default=("encyclopedia", "foreign"), description="of title, blank line, summary: what title-choice asks about, per language"
    )
    last_word_domains: tuple[Name, ...] | Literal["all"] = Field(
        default="all", description="whose passages last-word asks to end, per domain and language; needs a script with spaces"
    )
    average_checkpoints: PositiveInt = Field(
        default=1,
        description="models at the end of a run, the final one and the snapshots before it (ladder.snapshots), whose mean score speaks for the run",
    )
    lm_eval_tasks: tuple[str, ...] = Field(
        default=(),
        description="further tasks of lm-eval: by name (their data come from the hub, where there is a network) or by the path of a YAML file",
    )
    item_files: dict[Annotated[Name, AfterValidator(_not_own)], str] = Field(
        default={},
        description="benchmarks of your own, by name: a BIG-bench task.json, a JSONL file (question, choices, answer), or a folder of either",
    )
    probes: ProbesConfig = Field(default=ProbesConfig(), description="what the data did besides; none is asked unless it is named")

    @property
    def harness_tasks(self) -> tuple[str, ...]:
        """Names and YAML files of lm-eval tasks that aren't written by the study itself."""
        return (*(CORE if self.suite == "core" else ()), *self.lm_eval_tasks)
