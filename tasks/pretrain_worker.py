"""One rank of a launch: trains the launch's runs one after another. Started by tasks/ranks.py or, with a host file, by DeepSpeed's launcher; only
here is DeepSpeed.

What a run reads and how it starts depend on its spec alone; a run that was killed goes on from its last checkpoint and ends with the same bits.
"""

# ruff: noqa: E402 (the environment decides what DeepSpeed is when it is imported)
import argparse
import gc
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed
import torch.utils.deterministic

from models.frozen import StudyError
from models.llama_weights import load_llama
from models.model_average import average_models
from models.parametrisation import parameter_groups
from models.proxy_lm import ProxyLM, export_llama
from models.token_stream import TokenStream
from models.training_plan import TrainingConfig, largest_divisor
from tasks.atomic import read_json, replace_directory, replace_file, write_json
from tasks.processes import end_with_standard_input
from tasks.run_directory import Launch, RunDirectory, md5_of
from tasks.stage import errors_in_words
from tasks.tokenize_corpus import load_tokens

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
sys.modules.setdefault("mlflow", None)  # type: ignore[arg-type] # DeepSpeed's autotuner would load it: half of the time that a rank takes to start
import deepspeed
import deepspeed.ops
from deepspeed.accelerator import get_accelerator
from deepspeed.utils import logger

if sys.modules["mlflow"] is None:
    del sys.modules["mlflow"]
ACCELERATOR: Any = get_accelerator()
COLLECTIVE_TIMEOUT = timedelta(minutes=15)
CHECKPOINTS_KEPT = 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("launch_file", type=Path)
    parser.add_argument("--ends-with-stdin", action="store_true", help="exit when standard input ends: when whoever started the launch is gone")
    parser.add_argument("--local_rank", type=int, help="as DeepSpeed's launcher passes it; the environment says the same")
    arguments = parser.parse_args()
    if arguments.ends_with_stdin:
        end_with_standard_input()
    with errors_in_words():
        train_all(Launch.model_validate(read_json(arguments.launch_file)))


def train_all(launch: Launch) -> None:
    start_ranks()
    corpus = load_tokens(Path(launch.tokens))
    for key in launch.run_keys:
        run = RunDirectory(key)
        Training(run, launch, run.spec().stream(corpus.tokens_by_domain)).train()
        gc.collect()
    torch.distributed.destroy_process_group()


def start_ranks() -> None:
    """Joins the process group; NCCL on GPUs, gloo on CPUs. Nothing is compiled: a machine without a compiler trains as well."""
    logger.setLevel("WARNING")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_SIZE"])
    if ACCELERATOR.device_name() == "cpu":
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, torch.get_num_threads() // local_size))
        deepspeed.ops.__compatible_ops__ = {}  # type: ignore[attr-defined] # else a shared-memory kernel would be built at the first start
    elif local_size > ACCELERATOR.device_count():
        raise StudyError(f"hardware.ranks is {local_size}, but this host has {ACCELERATOR.device_count()} GPUs: lower it.")
    ACCELERATOR.set_device(local_rank)
    deepspeed.init_distributed(verbose=False, timeout=COLLECTIVE_TIMEOUT)


class Training:
    """One run on this rank, from its start or its last checkpoint to its result."""

    def __init__(self, run: RunDirectory, launch: Launch, stream: TokenStream):
        self.run, self.stream, self.hardware = run, stream, launch.hardware
        self.spec = run.spec()
        self.plan = self.spec.plan
        self.snapshot_steps = self.plan.snapshot_steps(launch.snapshots)
        self.kept_steps = {*self.snapshot_steps, *self.plan.averaged_steps}  # after which the model is written down
        self.trunks = [RunDirectory(key).trunk for key in launch.trunks_by_run.get(run.path.name, ())]
        self.rank, self.ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.device = torch.device(ACCELERATOR.current_device_name())
        self.rank_sequences = self.plan.batch_sequences // self.ranks
        self.micro_sequences = largest_divisor(self.rank_sequences, self.hardware.micro_batch_sequences)
        training = self.spec.training
        model = ProxyLM(self.spec.shape, self.spec.vocab_size, self.spec.initialization_seed, training.mup_base_shape, training.dropout)
        if checkpoint := launch.checkpoints_by_run.get(run.path.name):
            load_llama(model, Path(checkpoint))
        self.engine = start_engine(model, training, self.plan.batch_sequences, self.micro_sequences, self.ranks, self.hardware.zero_stage)
        self.step = self.first_step = 0  # before the first, steps were a shorter horizon's
        self.rows: list[dict[str, Any]] = []
        self.interval_losses: list[float] = []
        self.seconds_before = 0.0  # of earlier attempts, up to their last checkpoint

    def train(self) -> None:
        self.resume()
        started = saved = time.monotonic()
        status: Literal["completed", "diverged"] = "completed"
        while self.step < self.plan.steps:
            loss = self.train_step()
            due = self.rank == 0 and time.monotonic() - saved > self.hardware.checkpoint_every_seconds
            # One collective says both: the mean loss over ranks, and whether rank 0 wants a checkpoint.
            loss, checkpoint = self.mean_over_ranks(loss, float(due))
            self.interval_losses.append(loss)
            self.step += 1
            if not (math.isfinite(loss) and math.isfinite(self.gradient_norm())):
                status = "diverged"
                break
            if self.plan.is_logged(self.step):
                self.log()
            if self.step in self.kept_steps:
                self.export(self.run.snapshot(self.step))
            if self.step == self.plan.trunk_steps:
                self.save(0.0, self.run.trunk)
            if checkpoint > 0:
                self.save(self.seconds_before + time.monotonic() - started)
                saved = time.monotonic()
        self.finish(status, self.seconds_before + time.monotonic() - started)

    def train_step(self) -> torch.Tensor:
        """One optimizer step on this rank's share of the batch; its mean loss before the step."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate_at(self.step) * group["learning_rate_scale"]
        first = self.step * self.plan.batch_sequences + self.rank * self.rank_sequences
        total = torch.zeros((), device=self.device)
        for start in range(first, first + self.rank_sequences, self.micro_sequences):
            sequences = torch.from_numpy(self.stream.sequences(start, start + self.micro_sequences)).to(self.device)
            self.engine.module.dropout.first_sequence = start
            loss = self.engine(sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous())
            self.engine.backward(loss)
            self.engine.step()
            total += loss.detach()
        return total * (self.micro_sequences / self.rank_sequences)

    def gradient_norm(self) -> float:
        """Of the last step, over all ranks, before clipping."""
        return float(self.engine.get_global_grad_norm())

    def mean_over_ranks(self, loss: torch.Tensor, flag: float) -> tuple[float, float]:
        values = torch.stack([loss, torch.tensor(flag, device=self.device)])
        torch.distributed.all_reduce(values)
        loss_sum, flag_sum = values.tolist()
        return loss_sum / self.ranks, flag_sum

    def log(self) -> None:
        """Adds the row of an interval of tokens that ended."""
        self.rows.append(
            {
                "step": self.step,
                "tokens": self.step * self.plan.batch_tokens,
                "train_loss": sum(self.interval_losses) / len(self.interval_losses),
                "gradient_norm": self.gradient_norm(),
                "learning_rate": self.plan.learning_rate_at(self.step - 1),
            }
        )
        self.interval_losses = []
        if self.rank == 0:
            with self.run.metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.rows[-1]) + "\n")

    def save(self, seconds: float, to: Path | None = None) -> None:
        """Writes a checkpoint, where `to` is none among the run's. It counts from when it stands in the directory's list, with its files' hashes."""
        tag, directory = f"step-{self.step}", to or self.run.checkpoints
        if self.rank == 0:
            shutil.rmtree(directory / tag, ignore_errors=True)  # what a killed attempt left
        torch.distributed.barrier()
        state = {"step": self.step, "rows": self.rows, "interval_losses": self.interval_losses, "seconds": seconds, "first_step": self.first_step}
        self.engine.save_checkpoint(str(directory), tag=tag, client_state=state, save_latest=False)
        torch.distributed.barrier()
        if self.rank == 0:
            files = {str(path.relative_to(directory)): md5_of(path) for path in sorted((directory / tag).rglob("*")) if path.is_file()}
            checkpoint = {"tag": tag, "step": self.step, "ranks": self.ranks, "zero_stage": self.hardware.zero_stage, "md5_by_file": files}
            kept = [checkpoint, *listed_checkpoints(directory)][:CHECKPOINTS_KEPT]
            write_json(directory / "list.json", kept)
            for old in {path.name for path in directory.glob("step-*")} - {checkpoint["tag"] for checkpoint in kept}:
                shutil.rmtree(directory / old)

    def can_go_on_from(self, directory: Path, checkpoint: dict[str, Any]) -> bool:
        """Whether its files are whole, and the models that were to be kept before it were kept. A trunk that other ranks left is passed over."""
        before = [step for step in self.kept_steps if step <= checkpoint["step"]]
        fits = directory not in self.trunks or (checkpoint["ranks"], checkpoint["zero_stage"]) == (self.ranks, self.hardware.zero_stage)
        return fits and all(self.run.snapshot(step).exists() for step in before) and is_whole(directory, checkpoint)

    def resume(self) -> None:
        """Goes on from the newest checkpoint from which that is possible, if there is one; else from the longest trunk of a shorter horizon."""
        chosen: list[Any] = [None]
        if self.rank == 0:
            chosen[0] = next(self._starting_points(), None)
        torch.distributed.broadcast_object_list(chosen)
        if chosen[0] is not None:
            directory, checkpoint = chosen[0]
            if (found := (checkpoint["ranks"], checkpoint["zero_stage"])) != (asked := (self.ranks, self.hardware.zero_stage)):
                raise StudyError(
                    f"Run {self.run.path.name} was left unfinished by (ranks, ZeRO stage) {found} and can't go on with {asked}: "
                    f"set hardware.ranks and hardware.zero_stage back, or delete {directory.parent} to begin it again."
                )
            _, state = self.engine.load_checkpoint(str(directory), tag=checkpoint["tag"])
            self.step, self.rows, self.interval_losses = state["step"], state["rows"], state["interval_losses"]
            self.seconds_before = state["seconds"]
            self.first_step = state["first_step"] if directory == self.run.checkpoints else self.step
        if self.rank == 0:
            with replace_file(self.run.metrics_file) as path:
                path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def _starting_points(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for directory in (self.run.checkpoints, *self.trunks):
            yield from ((directory, checkpoint) for checkpoint in listed_checkpoints(directory) if self.can_go_on_from(directory, checkpoint))

    def finish(self, status: Literal["completed", "diverged"], seconds: float) -> None:
        """The model, the timing and, last, the result; then the checkpoints can go."""
        averaged = self.plan.averaged_steps
        if status == "completed" and not averaged:
            self.export(self.run.model)
        if self.rank == 0:
            if status == "completed" and averaged:
                with replace_directory(self.run.model) as directory:
                    average_models([self.run.snapshot(step) for step in averaged], directory)
            self.run.conclude(status, self.step, self.rows, seconds, self.ranks, self.first_step)
            for no_longer_needed in (self.run.checkpoints, *(self.run.snapshot(step) for step in averaged if step not in self.snapshot_steps)):
                shutil.rmtree(no_longer_needed, ignore_errors=True)
        self.engine.destroy()

    def export(self, to: Path) -> None:
        """The model as it is now, whole or not at all."""
        with deepspeed.zero.GatheredParameters(list(self.engine.module.parameters())):
            if self.rank == 0:
                with replace_directory(to) as directory:
                    export_llama(self.engine.module, directory, self.plan.sequence_length)


class ClippingAdamW(torch.optim.AdamW):
    """AdamW that clips the gradient to a global norm first. DeepSpeed does that too, but without ZeRO in fp32 it forgets the norm; it looks for it in
    the attribute that is set here."""

    def __init__(self, params: Any, max_norm: float, **options: Any):
        super().__init__(params, **options)
        self.max_norm = max_norm

    def step(self, closure: Any = None) -> Any:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self._global_grad_norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_norm)
        return super().step(closure)


def start_engine(model: ProxyLM, config: TrainingConfig, batch_sequences: int, micro_sequences: int, ranks: int, zero_stage: int) -> Any:
    """DeepSpeed's engine around the model and torch's AdamW."""
    model = model.to(ACCELERATOR.current_device_name())
    groups = parameter_groups(model.named_parameters(), model.shape, config)
    options = {"betas": (config.adam_beta1, config.adam_beta2), "fused": True}
    if config.precision == "bf16":
        zero_stage = max(1, zero_stage)  # only there does DeepSpeed keep weights and sums in fp32 beside bf16
    optimizer_is_wrapped = zero_stage > 0
    optimizer = torch.optim.AdamW(groups, **options) if optimizer_is_wrapped else ClippingAdamW(groups, config.gradient_clip, **options)
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        dist_init_required=False,
        config={
            "train_batch_size": batch_sequences,
            "train_micro_batch_size_per_gpu": micro_sequences,
            "gradient_accumulation_steps": batch_sequences // (micro_sequences * ranks),
            "gradient_clipping": config.gradient_clip if optimizer_is_wrapped else 0.0,
            "bf16": {"enabled": config.precision == "bf16"},
            "data_types": {"grad_accum_dtype": "fp32"},
            "zero_optimization": {"stage": zero_stage},
            "zero_allow_untested_optimizer": True,
            "steps_per_print": sys.maxsize,
        },
    )
    return engine


def listed_checkpoints(directory: Path) -> list[dict[str, Any]]:
    """Newest first."""
    path = directory / "list.json"
    return read_json(path) if path.exists() else []


def is_whole(directory: Path, checkpoint: dict[str, Any]) -> bool:
    return all((directory / name).exists() and md5_of(directory / name) == md5 for name, md5 in checkpoint["md5_by_file"].items())


if __name__ == "__main__":
    main()
