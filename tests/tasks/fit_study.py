"""Runs and evaluations of a study with a known law, written as `pretrain` and `evaluate` write them, into the current directory."""

import hashlib
import math
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.ladder import num_params, num_params_non_embedding
from tasks import layout
from tasks.atomic import write_json
from tasks.evaluation_table import BITS_PER_BYTE, EVALUATION_SCHEMA, HELDOUT
from tasks.run_directory import RunResult
from tasks.study import Study

DOMAINS = {"code": 0.9, "legal": 1.1}  # relative loss
VOCAB_SIZE = 2048
Row = dict[str, object]


def study(
    mixtures: tuple[str, ...] = ("raw", "clean", "quality"), sizes=("30k", "100k", "300k"), budgets=(1, 3), seeds=(1, 2), **target: object
) -> Study:
    return Study.model_validate(
        {
            "name": "fitted",
            "question": "Which of these?",
            "local_sources": {domain: {"path": f"{domain}.jsonl", "domain": domain} for domain in DOMAINS},
            "recipes": {"raw": {"from": "pool"}},
            "mixtures": {name: {"recipe": "raw", "weights": "natural"} for name in mixtures},
            "ladder": {"sizes": list(sizes), "tokens_per_parameter": list(budgets), "seeds": list(seeds)},
            "target": {"num_params": 10e6, "tokens": 200e6, "bootstraps": 60, **target},
        }
    )


def law(num_params: float, tokens: float) -> float:
    return 0.9 + 40 * num_params**-0.35 + 60 * tokens**-0.35


def write_runs(
    study: Study,
    factors: Mapping[str, float],
    change_result: Callable[[Row], Row | None] = lambda row: row,
    change_evaluation: Callable[[Row], list[Row]] = lambda row: [row],
    noise_sd: float = 0.004,
) -> None:
    """Writes the results of all runs, the law times a mixture's factor. The two hooks spoil them."""
    for number, mixture in enumerate(study.mixtures):
        evaluations: list[Row] = []
        for rung in study.ladder.runs():
            size = num_params(rung.shape, VOCAB_SIZE)
            tokens = rung.budget_tokens(VOCAB_SIZE, study.training.sequence_length)
            shared, own = (np.random.default_rng([rung.seed, tokens, place]).standard_normal() for place in (0, 1 + number))
            loss = law(size, tokens) * factors[mixture] * math.exp(noise_sd * (shared + own) / 2**0.5)
            result: Row = {
                "run_key": hashlib.sha256(f"{mixture}/{rung.name}".encode()).hexdigest()[:16],
                "run": rung.name,
                "mixture": mixture,
                "recipe": "raw",
                "size": rung.size,
                "seed": rung.seed,
                "initialization_seed": rung.seeds.initialization,
                "data_seed": rung.seeds.data,
                "status": "completed",
                "num_params": size,
                "num_params_non_embedding": num_params_non_embedding(rung.shape),
                "budget_tokens": tokens,
                "tokens_seen": tokens,
                "target_steps": 100,
                "steps": 100,
                "train_flops": 6.5 * size * tokens,
                "final_train_loss": 3.0,
                "learning_rate": 1e-3,
                "batch_tokens": 4096,
                "weights_by_domain": {"code": 0.5, "legal": 0.5},
                "tokens_by_domain": {"code": tokens // 2, "legal": tokens // 2},
                "unique_tokens_by_domain": {"code": 10**9, "legal": 10**9},
                "tokens_md5_by_domain": {"code": "c0de", "legal": "1e9a1"},
                "epochs_by_domain": {"code": 0.1, "legal": 0.1},
            }
            changed = change_result(result)
            if changed is not None:
                write_json(layout.RUNS / mixture / rung.name / "result.json", RunResult.model_validate(changed).model_dump(mode="json"))
                for domain, relative in DOMAINS.items():
                    evaluations += change_evaluation(_evaluation(changed, domain, loss * relative))
        path = layout.EVALUATIONS / f"{mixture}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(evaluations, schema=EVALUATION_SCHEMA), path)


def _evaluation(result: Row, domain: str, value: float) -> Row:
    identity = {name: result[name] for name in ("run_key", "run", "mixture", "size", "num_params", "seed")}
    measured = {"benchmark": f"{HELDOUT}{domain}", "metric": BITS_PER_BYTE, "value": value, "stderr": 0.01, "count": 50, "version": "v1"}
    return {**identity, "tokens": result["tokens_seen"], "checkpoint": "final", **measured}
