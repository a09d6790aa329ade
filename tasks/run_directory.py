"""A run's spec and its key, its directory outside DVC's outputs, and its result: one atomic file when it is finished."""

import hashlib
import json
from typing import Literal

from models.frozen import Frozen
from models.ladder import ModelShape
from models.training_plan import TrainingConfig


class RunSpec(Frozen):
    """What decides a run's weights, and nothing else: no names, hardware, paths or hosts."""

    shape: ModelShape
    vocab_size: int
    budget_tokens: int
    training: TrainingConfig
    weights_by_domain: dict[str, float]
    max_epochs: float | None
    tokens_md5_by_domain: dict[str, str]
    seed: int
    code_md5: str

    @property
    def key(self) -> str:
        """Names the run directory and ties MLflow's run to the data."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


class RunResult(Frozen):
    """A finished run, as `results/runs/<mixture>/<run>/result.json` holds it. Beside it: metrics.jsonl and model/."""

    run_key: str
    run: str  # "<size>-<tokens per parameter>x-seed<seed>", unique in its mixture
    mixture: str
    recipe: str
    size: str
    seed: int
    status: Literal["completed", "diverged"]
    num_params: int
    num_params_non_embedding: int
    budget_tokens: int
    tokens_seen: int
    target_steps: int
    steps: int
    train_flops: float
    final_train_loss: float | None  # nats per token, mean of the last steps; None when diverged
    learning_rate: float
    batch_tokens: int
    weights_by_domain: dict[str, float]
    tokens_by_domain: dict[str, int]  # read in training
    unique_tokens_by_domain: dict[str, int]  # in the corpus
    epochs_by_domain: dict[str, float]
    target_epochs_by_domain: dict[str, float]  # what the same weights would mean at the study's target
