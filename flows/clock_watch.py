"""The system clock, set by somebody while a study runs. Waits and limits go by a clock that nobody sets; what goes by the time of day is told."""

import time
from collections.abc import Callable

JUMP_SECONDS = 5.0  # between two looks, half a second apart; what corrects a clock gently stays far below
DRIFT_SECONDS = 60.0  # over a whole run


def boot_time() -> float:
    """When this machine was started, by the clock of now, in seconds since 1970: another time as soon as the clock was set."""
    return time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClockWatch:
    """Says once of each jump that it happened."""

    def __init__(self, booted: Callable[[], float] = boot_time):
        self._booted, self._before = booted, booted()

    def jump(self) -> str | None:
        """One sentence when the clock was set since the last call."""
        before, self._before = self._before, self._booted()
        return in_words(self._before - before, JUMP_SECONDS)


def in_words(set_by_seconds: float, from_seconds: float) -> str | None:
    """None for less than `from_seconds`."""
    if abs(set_by_seconds) < from_seconds:
        return None
    way = "forward" if set_by_seconds > 0 else "back"
    return (
        f"The system clock was set {way} by {abs(set_by_seconds):.0f} s while the study runs: what runs and what it writes do not go by it, but "
        "times in Prefect and MLflow jump, the time left in `assay status` is wrong until the next checkpoint, and Prefect may free slots too early."
    )
