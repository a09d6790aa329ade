"""How fast this machine trains: from a few steps of each size through the real training code, or from the runs that it has finished."""

import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from typing import Literal

import numpy as np

from models.frozen import Frozen, StudyError
from models.hardware import Hardware
from models.ladder import ModelShape, train_flops
from models.training_plan import MIN_STEPS, ROWS_PER_RUN, TrainingConfig, TrainingPlan
from tasks import layout
from tasks.atomic import read_json, replace_directory, write_json
from tasks.launches import command, hosts, started
from tasks.run_directory import Launch, RunDirectory, RunSpec, code_md5
from tasks.timings import timings
from tasks.tokenize_corpus import MANIFEST, DomainTokens, TokensManifest

MEASURED = layout.LOCAL / "throughput.json"
SCRATCH = layout.LOCAL / "throughput"
TOKENS_PER_SIZE = 300_000  # as many steps as come nearest, but enough to measure
START_SECONDS = 120.0  # until a launch has trained its first steps
SECONDS_PER_SIZE = 10.0
POLL_SECONDS = 0.02
MIN_ROWS = 4  # steps that a measurement is made of, at least


class Setting(Frozen):
    """All that decides how fast a run trains."""

    shape: ModelShape
    vocab_size: int
    sequence_length: int
    batch_tokens: int
    precision: Literal["fp32", "bf16"]
    ranks: int
    hosts: int
    micro_batch_sequences: int
    zero_stage: int
    machine: str

    @property
    def key(self) -> str:
        return hashlib.md5(self.model_dump_json().encode()).hexdigest()

    @property
    def flops_per_token(self) -> int:
        return train_flops(self.shape, self.vocab_size, self.sequence_length, 1)


class Throughput(Frozen):
    tokens_per_second: float
    source: str  # "measured", "finished runs", or by which other size it is estimated


def setting_of(shape: ModelShape, vocab_size: int, plan: TrainingPlan, training: TrainingConfig, hardware: Hardware) -> Setting:
    return Setting(
        shape=shape,
        vocab_size=vocab_size,
        sequence_length=plan.sequence_length,
        batch_tokens=plan.batch_tokens,
        precision=training.precision,
        ranks=hardware.ranks,
        hosts=len(hosts(hardware)),
        micro_batch_sequences=hardware.micro_batch_sequences,
        zero_stage=hardware.zero_stage,
        machine=socket.gethostname(),
    )


def known_throughputs(settings: Iterable[Setting]) -> dict[str, Throughput]:
    """By the settings' keys, as far as something is known: a measurement first, which is older than the runs that the plan is compared with."""
    measured = read_json(MEASURED) if MEASURED.exists() else {}
    finished = _finished_runs()
    known = {}
    for setting in settings:
        same = finished.get((setting.shape, setting.vocab_size, setting.sequence_length, setting.batch_tokens, setting.precision, setting.ranks))
        if setting.key in measured:
            known[setting.key] = Throughput(tokens_per_second=measured[setting.key]["tokens_per_second"], source="measured")
        elif same:
            known[setting.key] = Throughput(tokens_per_second=same[0] / same[1], source="finished runs")
    return known


def _finished_runs() -> dict[tuple[object, ...], tuple[float, float]]:
    """Tokens and seconds of the runs that this machine has finished, by what their spec and timing say of their setting."""
    sums: dict[tuple[object, ...], tuple[float, float]] = {}
    for spec, timing in timings():
        its = (spec.shape, spec.vocab_size, spec.training.sequence_length, spec.plan.batch_tokens, spec.training.precision, timing.ranks)
        tokens, seconds = sums.get(its, (0.0, 0.0))
        sums[its] = (tokens + timing.tokens_per_second * timing.wall_seconds, seconds + timing.wall_seconds)
    return sums


def with_estimates(settings: list[Setting], sizes: list[str], known: dict[str, Throughput]) -> dict[str, Throughput]:
    """Fills in sizes of which nothing is known, by the FLOPs per second of the next smaller one that is known, or else of the next larger one. Larger
    models compute faster, so that an estimate by a smaller one says too long rather than too short."""
    estimated: dict[str, Throughput] = {}
    named = list(zip(settings, sizes, strict=True))
    for index, (setting, _) in enumerate(named):
        nearest = next(((other, size) for other, size in [*reversed(named[:index]), *named[index:]] if other.key in known), None)
        if nearest and setting.key not in known:
            other, size = nearest
            rate = known[other.key].tokens_per_second * other.flops_per_token / setting.flops_per_token
            estimated[setting.key] = Throughput(tokens_per_second=rate, source=f"FLOPs of {size}")
    return known | estimated


def measure(settings: Iterable[Setting], hardware: Hardware) -> None:
    """Trains each setting for some steps on made-up tokens, all in one launch, and keeps what was measured. One that takes too long is left out.

    Raises:
        StudyError: when nothing was trained, with the end of the log.
    """
    runs = {setting.key: (setting, _spec(setting)) for setting in settings}
    shutil.rmtree(SCRATCH, ignore_errors=True)
    try:
        keys = {key: spec.key for key, (_, spec) in runs.items()}
        _write_tokens(min(setting.vocab_size for setting, _ in runs.values()))
        for _, spec in runs.values():
            RunDirectory(spec.key).write_spec(spec)
        order = Launch(run_keys=tuple(keys.values()), tokens=str(SCRATCH / "tokens"), snapshots=(), hardware=hardware)
        write_json(SCRATCH / "launch.json", order.model_dump(mode="json"))
        with (SCRATCH / "log").open("wb") as log, started(command(hardware, SCRATCH / "launch.json"), log.fileno()) as launcher:
            rates = _watch(launcher, keys)
        if not rates:
            words = (SCRATCH / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise StudyError(f"The speed of training could not be measured: '{words[-1] if words else 'no word from the launch'}'.")
        measured = read_json(MEASURED) if MEASURED.exists() else {}
        for key, rate in rates.items():
            measured[key] = {"setting": runs[key][0].model_dump(mode="json"), "tokens_per_second": rate}
        write_json(MEASURED, measured)
    finally:
        for _, spec in runs.values():
            shutil.rmtree(RunDirectory(spec.key).path, ignore_errors=True)
        shutil.rmtree(SCRATCH, ignore_errors=True)


def _spec(setting: Setting) -> RunSpec:
    steps = min(ROWS_PER_RUN, max(MIN_STEPS, TOKENS_PER_SIZE // setting.batch_tokens))  # so few that each step has its row
    training = TrainingConfig(sequence_length=setting.sequence_length, batch_tokens=setting.batch_tokens, precision=setting.precision)
    return RunSpec(
        shape=setting.shape,
        vocab_size=setting.vocab_size,
        budget_tokens=steps * setting.batch_tokens,
        training=training,
        weights_by_domain={"made-up": 1.0},
        max_epochs=None,
        tokens_md5_by_domain={"made-up": "measurement"},
        initialization_seed=0,
        data_seed=0,
        code_md5=code_md5(),
    )


def _write_tokens(vocab_size: int) -> None:
    tokens = np.random.default_rng(0).integers(vocab_size, size=TOKENS_PER_SIZE, dtype=np.uint32)
    its = DomainTokens(tokens=len(tokens), documents=1, bytes=len(tokens), md5="measurement")
    with replace_directory(SCRATCH / "tokens") as directory:
        tokens.tofile(directory / "made-up.bin")
        np.save(directory / "made-up.offsets.npy", np.array([0, len(tokens)], dtype=np.uint64))
        manifest = TokensManifest(vocab_size=vocab_size, dtype="uint32", end_of_text_id=0, domains={"made-up": its})
        write_json(directory / MANIFEST, manifest.model_dump())


def _watch(launcher: subprocess.Popen[bytes], run_keys: dict[str, str]) -> dict[str, float]:
    """Tokens per second by setting, from when the rows of their metrics appear: the first step, which warms up, is not counted."""
    seen: dict[str, list[tuple[float, int]]] = {key: [] for key in run_keys}
    deadline = time.monotonic() + START_SECONDS
    while launcher.poll() is None and time.monotonic() < deadline:
        for key, run_key in run_keys.items():
            rows = RunDirectory(run_key).metrics()
            if rows and (not seen[key] or seen[key][-1][1] < rows[-1]["tokens"]):
                if not any(seen.values()):
                    deadline = time.monotonic() + SECONDS_PER_SIZE * len(run_keys)
                seen[key].append((time.monotonic(), rows[-1]["tokens"]))
        time.sleep(POLL_SECONDS)
    return {key: (rows[-1][1] - rows[0][1]) / (rows[-1][0] - rows[0][0]) for key, rows in seen.items() if len(rows) >= MIN_ROWS}
