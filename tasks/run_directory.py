"""A run's spec and its key, its directory outside DVC's outputs, and its result: one atomic file when it is finished."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from models.frozen import Frozen
from models.hardware import Hardware
from models.ladder import ModelShape
from models.token_stream import TokenStream
from models.training_plan import TrainingConfig, TrainingPlan, plan
from tasks import layout
from tasks.atomic import read_json, write_json

PROJECT = Path(__file__).resolve().parent.parent

# The files that decide a run's weights; a change of one makes every run another run. The last trains it.
OF_ALL_RUNS = (
    "models/dropout.py",
    "models/ladder.py",
    "models/learning_rate.py",
    "models/llama_config.py",
    "models/model_average.py",
    "models/model_shape.py",
    "models/parametrisation.py",
    "models/proxy_lm.py",
    "models/token_stream.py",
    "models/training_plan.py",
)
CODE = (*OF_ALL_RUNS, "models/llama_weights.py", "tasks/pretrain_worker.py")
SWARM_CODE = (*OF_ALL_RUNS, "models/proxy_swarm.py", "tasks/swarm_worker.py")
FINAL_ROWS = 5  # of metrics, whose mean loss is the final one: a tenth of a run


def code_md5(names: tuple[str, ...] = CODE) -> str:
    return hashlib.md5(b"".join((PROJECT / name).read_bytes() for name in names)).hexdigest()


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class RunSpec(Frozen):
    """What decides a run's weights, and nothing else: no names, hardware, paths or hosts."""

    shape: ModelShape
    vocab_size: int
    budget_tokens: int
    shortest_budget_tokens: int | None = None  # of the horizons that share a trunk (training.shared_trunk)
    training: TrainingConfig
    weights_by_domain: dict[str, float]
    max_epochs: float | None
    tokens_md5_by_domain: dict[str, str]
    initialization_seed: int
    data_seed: int
    start_sha256: str | None = None  # of the checkpoint that it starts from
    code_md5: str

    @property
    def key(self) -> str:
        """Names the run directory and ties MLflow's run to the data."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def plan(self) -> TrainingPlan:
        return plan(self.shape, self.vocab_size, self.budget_tokens, self.training, self.shortest_budget_tokens)

    def stream(self, tokens_by_domain: Mapping[str, np.ndarray]) -> TokenStream:
        """What the run reads of the corpus' tokens.

        Raises:
            ValueError: when weights, budget and cap on epochs can't be met together.
        """
        return TokenStream(
            tokens_by_domain, self.weights_by_domain, self.training.sequence_length, self.plan.num_sequences, self.data_seed, self.max_epochs
        )


class RunOutcome(Frozen):
    """How a training ended: `result.json` of a run directory. All else about a run follows from its spec and from where it stands in a study."""

    status: Literal["completed", "diverged"]
    steps: int
    final_train_loss: float | None


class RunDirectory:
    """`.assay/runs/<key>`: `spec.json` first, then checkpoints, snapshots and metrics, at the end the model and, last of all, `result.json`."""

    def __init__(self, key: str):
        self.path = layout.RUN_DIRECTORIES / key
        self.spec_file = self.path / "spec.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.model = self.path / "model"
        self.snapshots = self.path / "snapshots"
        self.checkpoints = self.path / "checkpoints"
        self.trunk = self.path / "trunk"  # the checkpoint before the decay, from which longer horizons go on
        self.timing_file = self.path / "timing.json"
        self.result_file = self.path / "result.json"

    def lock(self) -> FileLock:
        """Held by the one process that may train this run. The system frees it when the process dies."""
        layout.RUN_DIRECTORIES.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_suffix(".lock"))

    def snapshot(self, step: int) -> Path:
        """The model after `step` steps, if a study asked for it."""
        return self.snapshots / f"step-{step}"

    @property
    def is_finished(self) -> bool:
        return self.result_file.exists()

    def holds(self, snapshot_steps: Iterable[int]) -> bool:
        """Whether the run is finished and kept these snapshots; a diverged one, those before it ended."""
        return self.is_finished and all(self.snapshot(step).exists() for step in snapshot_steps if step < self.outcome().steps)

    def outcome(self) -> RunOutcome:
        return RunOutcome.model_validate(read_json(self.result_file))

    def spec(self) -> RunSpec:
        return RunSpec.model_validate(read_json(self.spec_file))

    def metrics(self) -> list[dict[str, Any]]:
        """One row is an interval of tokens: step, tokens, train_loss, gradient_norm, learning_rate. Empty before the first."""
        if not self.metrics_file.exists():
            return []
        return [json.loads(line) for line in self.metrics_file.read_text(encoding="utf-8").splitlines()]

    def write_spec(self, spec: RunSpec) -> None:
        write_json(self.spec_file, spec.model_dump(mode="json"))

    def conclude(
        self, status: Literal["completed", "diverged"], steps: int, rows: list[dict[str, Any]], seconds: float, ranks: int, first_step: int = 0
    ) -> None:
        """Writes the timing and, last, the result. `seconds`: of wall time, that were this run's. `first_step`: before it, steps were a shorter
        horizon's."""
        tokens = (steps - first_step) * self.spec().plan.batch_tokens
        write_json(self.timing_file, {"wall_seconds": seconds, "tokens_per_second": tokens / seconds, "ranks": ranks, "first_step": first_step})
        final = [row["train_loss"] for row in rows[-FINAL_ROWS:]]
        loss = sum(final) / len(final) if status == "completed" else None
        write_json(self.result_file, RunOutcome(status=status, steps=steps, final_train_loss=loss).model_dump())


class Launch(Frozen):
    """What one launch of the training worker is asked: runs by key, trained one after another."""

    run_keys: tuple[str, ...]
    trunks_by_run: dict[str, tuple[str, ...]] = {}  # keys of the shorter horizons of the same trunk, the longest first
    checkpoints_by_run: dict[str, str] = {}  # folders of the models that runs start from
    tokens: str  # directory of the tokenized corpus
    snapshots: tuple[float, ...]  # shares of each run's steps after which its model is kept
    hardware: Hardware


class SwarmLaunch(Frozen):
    """What the processes of a swarm are asked: each its share of the runs, by key."""

    shares: tuple[tuple[str, ...], ...]
    tokens: str  # directory of the tokenized corpus
    hardware: Hardware


class RunResult(Frozen):
    """A finished run, as `results/runs/<mixture>/<run>/result.json` holds it. Beside it: metrics.jsonl and, when completed, model/."""

    run_key: str
    run: str  # "<size>-<tokens per parameter>x-seed<seed>", unique in its mixture
    mixture: str
    recipe: str
    size: str
    seed: int  # the number of the two below
    initialization_seed: int
    data_seed: int
    status: Literal["completed", "diverged"]
    num_params: int
    num_params_non_embedding: int
    budget_tokens: int
    tokens_seen: int
    target_steps: int
    steps: int
    shared_steps: int = 0  # the first ones, that a shorter horizon of the ladder has too: they are trained once
    train_flops: float  # of the model, shared steps included
    final_train_loss: float | None  # nats per token, mean of the last tenth of the run; None when diverged
    learning_rate: float
    batch_tokens: int
    weights_by_domain: dict[str, float]
    tokens_by_domain: dict[str, int]  # read in training
    unique_tokens_by_domain: dict[str, int]  # in the corpus
    tokens_md5_by_domain: dict[str, str]  # which version of the corpus: the spec's
    epochs_by_domain: dict[str, float]

    def epochs_by_domain_at(self, tokens: float) -> dict[str, float]:
        """How often the same weights would read each domain in a run of `tokens`, such as the target's."""
        return {domain: weight * tokens / self.unique_tokens_by_domain[domain] for domain, weight in self.weights_by_domain.items()}
