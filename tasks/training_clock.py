"""How far the runs of a mixture have come, and how long they will take: from their metrics, their checkpoints, and what earlier runs took."""

from functools import cached_property
from pathlib import Path
from statistics import median

from models.ladder import ModelShape
from tasks.atomic import read_json
from tasks.launches import LAUNCHES
from tasks.pretrain import PlannedRun, with_references
from tasks.timings import timings


class TrainingClock:
    """Of the last launch of a mixture.

    A launch trains its runs one after another. The run that trains is as fast as its rows came since its last checkpoint; the others are as fast
    as runs of their shape were before or, where there were none, need the time for a FLOP that this one needs: at most, as smaller models are
    slower by FLOPs than by tokens.
    """

    def __init__(self, mixture: str, runs: list[PlannedRun]):
        self.runs = runs
        launch_file = LAUNCHES / f"{mixture}.json"
        self.launched = modified(launch_file)
        keys = read_json(launch_file)["run_keys"] if self.launched else []
        by_key = {run.spec.key: run for run in with_references(runs)}
        self.order = [by_key[key] for key in keys if key in by_key and not by_key[key].directory.is_finished]

    def trains(self, run: PlannedRun) -> bool:
        """Whether it is its turn."""
        return bool(self.order) and self.order[0] is run

    def seconds_left(self, run: PlannedRun) -> float | None:
        """Until the run ends: those that are before it in the launch end first."""
        if run not in self.order:
            return None
        before = self.order[: self.order.index(run) + 1]
        each = [self._seconds_of(one) for one in before]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _seconds_of(self, run: PlannedRun) -> float | None:
        left = run.plan.tokens_seen - tokens_seen(run)
        own = self._own_rate() if self.trains(run) else None
        if rate := own or self._rate_of_shape(run):
            return left / rate
        if rate := self._own_rate():
            trained = self.order[0].plan
            return left * (run.plan.train_flops / run.plan.tokens_seen) / (rate * trained.train_flops / trained.tokens_seen)
        return None

    def _own_rate(self) -> float | None:
        """Tokens per second of the run that trains, since its last checkpoint or since its turn came."""
        run = self.order[0]
        turn = max([self.launched, *(modified(other.directory.result_file) for other in self.runs)])
        checkpoints = run.directory.checkpoints / "list.json"
        saved = [checkpoint["step"] * run.plan.batch_tokens for checkpoint in (read_json(checkpoints) if checkpoints.exists() else [])]
        tokens = tokens_seen(run) - max(saved, default=0)
        seconds = modified(run.directory.metrics_file) - max(turn, modified(checkpoints))
        return tokens / seconds if tokens > 0 and seconds > 0 else None

    def _rate_of_shape(self, run: PlannedRun) -> float | None:
        """Tokens per second, in the median of the finished runs of this folder that have the run's shape."""
        found = self._rates_by_shape.get(run.spec.shape)
        return median(found) if found else None

    @cached_property
    def _rates_by_shape(self) -> dict[ModelShape, list[float]]:
        rates: dict[ModelShape, list[float]] = {}
        for spec, timing in timings():
            rates.setdefault(spec.shape, []).append(timing.tokens_per_second)
        return rates


def modified(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 when there is none."""
    return path.stat().st_mtime if path.exists() else 0.0


def tokens_seen(run: PlannedRun) -> int:
    """How far a run has come, by the last row of its metrics."""
    rows = run.directory.metrics()
    return rows[-1]["tokens"] if rows else 0
