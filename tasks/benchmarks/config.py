"""What `params.yaml` may say about evaluation."""

from pydantic import Field, PositiveInt

from models.frozen import Frozen, Name


class EvaluationConfig(Frozen):
    """What every run is asked after training."""

    items_per_benchmark: PositiveInt = Field(default=100, description="items of each benchmark, at most")
    batch_sequences: PositiveInt = Field(default=16, description="sequences per forward pass, at most (on a CPU few are fastest, on a GPU many)")
    definition_domain: Name | None = Field(default="dictionary", description="of headword, blank line, definition: what definition-choice asks about")
    title_domain: Name | None = Field(default="encyclopedia", description="of title, blank line, summary: what title-choice asks about")
    average_checkpoints: PositiveInt = Field(
        default=1,
        description="models at the end of a run, the final one and the snapshots before it (ladder.snapshots), whose mean score speaks for the run",
    )
    lm_eval_tasks: tuple[str, ...] = Field(
        default=(),
        description="further tasks of lm-eval: by name (their data come from the hub, where there is a network) or by the path of a YAML file",
    )
