"""The result of a run that was never made, consistent in itself."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tasks.run_directory import RunResult


def run_result(
    mixture: str,
    run: str,
    num_params: int,
    tokens: int,
    batch_tokens: int,
    weights_by_domain: Mapping[str, float],
    unique_tokens_by_domain: Mapping[str, int],
    **others: Any,
) -> RunResult:
    """`run` is "<size>-<tokens per parameter>x-seed<seed>"; the recipe is what the mixture's name begins with. `others` are fields set otherwise."""
    size, _, seed = run.split("-")
    number = int(seed.removeprefix("seed"))
    fields = {
        "run_key": hashlib.sha256(f"{mixture}{run}".encode()).hexdigest()[:16],
        "run": run,
        "mixture": mixture,
        "recipe": mixture.split("-")[0],
        "size": size,
        "seed": number,
        "initialization_seed": number,
        "data_seed": number,
        "status": "completed",
        "num_params": num_params,
        "num_params_non_embedding": int(num_params * 0.6),
        "budget_tokens": tokens,
        "tokens_seen": tokens,
        "target_steps": tokens // batch_tokens,
        "steps": tokens // batch_tokens,
        "train_flops": 6.4 * num_params * tokens,
        "final_train_loss": 4.1,
        "learning_rate": 0.0031,
        "batch_tokens": batch_tokens,
        "weights_by_domain": weights_by_domain,
        "tokens_by_domain": {domain: int(weight * tokens) for domain, weight in weights_by_domain.items()},
        "unique_tokens_by_domain": unique_tokens_by_domain,
        "tokens_md5_by_domain": dict.fromkeys(unique_tokens_by_domain, "0f1e"),
        "epochs_by_domain": {domain: weight * tokens / unique_tokens_by_domain[domain] for domain, weight in weights_by_domain.items()},
    }
    return RunResult.model_validate(fields | others)
