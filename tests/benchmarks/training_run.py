"""The run that the benchmarks of training train."""

from models.ladder import PRESETS
from models.training_plan import TrainingConfig
from tasks.run_directory import RunDirectory, RunSpec


def written_spec(size: str, vocabulary: int, steps: int, training: TrainingConfig) -> RunSpec:
    """Of so many steps over the domains `one` and `two`; its spec is in its directory. `training.batch_tokens` is a number."""
    assert isinstance(training.batch_tokens, int)
    spec = RunSpec(
        shape=PRESETS[size],
        vocab_size=vocabulary,
        budget_tokens=steps * training.batch_tokens,
        training=training,
        weights_by_domain={"one": 0.5, "two": 0.5},
        max_epochs=None,
        tokens_md5_by_domain={},
        initialization_seed=1,
        data_seed=1,
        code_md5="benchmark",
    )
    RunDirectory(spec.key).write_spec(spec)
    return spec
