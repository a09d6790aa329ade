"""A study of one mixture after training and evaluation, with every file that its runs leave but their models: as the worker, `pretrain` and
`evaluate` write them, into the current directory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.hardware import Hardware
from models.training_plan import TrainingConfig
from tasks import layout
from tasks.atomic import write_json
from tasks.evaluation_table import BITS_PER_BYTE, EVALUATION_SCHEMA, HELDOUT
from tasks.launches import LAUNCHES
from tasks.pretrain import PlannedRun, planned_runs, result_of
from tasks.run_directory import Launch, RunOutcome, RunResult
from tasks.run_states import heldout_versions
from tasks.study import Study
from tasks.tokenize_corpus import load_tokens
from tests.tasks import evaluation_study
from tests.tasks.token_shards import write_token_shards

MIXTURE = "m"
TOKENS = {"code": 200_000, "dictionary": 100_000}
SMALL_BATCHES = TrainingConfig(sequence_length=64, batch_tokens=512, learning_rate=0.01)


def with_small_batches(study: Study) -> Study:
    return study.model_copy(update={"training": SMALL_BATCHES})


def write_data() -> None:
    """What is there before training: tokens and held-out documents."""
    write_token_shards(layout.TOKENS / "raw", TOKENS, vocab_size=300)
    evaluation_study.write_heldout()


def plan(study: Study) -> list[PlannedRun]:
    return planned_runs(study, MIXTURE, load_tokens(layout.TOKENS / study.mixtures[MIXTURE].recipe))


def begin(study: Study, runs: list[PlannedRun]) -> None:
    """What a launch writes before it trains."""
    for run in runs:
        run.directory.write_spec(run.spec)
    keys = tuple(run.spec.key for run in runs)
    write_json(LAUNCHES / f"{MIXTURE}.json", Launch(run_keys=keys, tokens="", snapshots=(), hardware=Hardware()).model_dump(mode="json"))


def train(run: PlannedRun, steps: int) -> None:
    """The rows of a run up to a step."""
    rows = [{"step": step, "tokens": step * run.plan.batch_tokens, "train_loss": 5.0 - step / run.plan.steps} for step in range(1, steps + 1)]
    run.directory.metrics_file.write_text("".join(f"{row}\n".replace("'", '"') for row in rows))


def finish(run: PlannedRun, tokens_per_second: float = 1000.0, status: str = "completed") -> None:
    train(run, run.plan.steps)
    write_json(run.directory.timing_file, {"wall_seconds": 1.0, "tokens_per_second": tokens_per_second, "ranks": 1})
    loss = 4.0 if status == "completed" else None
    write_json(run.directory.result_file, RunOutcome(status=status, steps=run.plan.steps, final_train_loss=loss).model_dump())  # type: ignore[arg-type]


def publish(study: Study, runs: list[PlannedRun], **changes: object) -> None:
    """The results, as `pretrain` gives them to DVC; `changes` spoil them."""
    for run in runs:
        result = result_of(run, MIXTURE, study.mixtures[MIXTURE].recipe).model_copy(update=changes)
        write_json(layout.RUNS / MIXTURE / result.run / "result.json", result.model_dump(mode="json"))


def evaluate(study: Study, runs: list[PlannedRun], **changes: object) -> None:
    """An evaluation on all held-out domains; `changes` spoil the rows of the first run."""
    rows = []
    for number, run in enumerate(runs):
        result = result_of(run, MIXTURE, study.mixtures[MIXTURE].recipe)
        whose = {name: getattr(result, name) for name in ("run_key", "run", "mixture", "size", "num_params", "seed")}
        facts = {"tokens": result.tokens_seen, "checkpoint": "final", "metric": BITS_PER_BYTE, "value": 2.5, "stderr": 0.1, "count": 10}
        for domain, version in heldout_versions(study).items():
            rows.append(whose | facts | {"benchmark": HELDOUT + domain, "version": version} | (changes if not number else {}))
    layout.EVALUATIONS.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=EVALUATION_SCHEMA), layout.EVALUATIONS / f"{MIXTURE}.parquet")


def write_trained(study: Study) -> list[PlannedRun]:
    """All of it."""
    write_data()
    runs = plan(study)
    begin(study, runs)
    for run in runs:
        finish(run)
    publish(study, runs)
    evaluate(study, runs)
    return runs


def read_result(path: Path) -> RunResult:
    return RunResult.model_validate_json(path.read_bytes())
