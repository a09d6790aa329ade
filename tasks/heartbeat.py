"""How a rank that hangs is found: each writes the number of its step to a file of its own, and whoever started them looks whether that goes on.

Collectives make ranks wait for each other: when one hangs, all do, within a step.
"""

import os
import shutil
import time
from pathlib import Path


def heartbeats_of(launch_file: Path) -> Path:
    return launch_file.with_suffix(".heartbeats")


class Heartbeat:
    """Of one rank."""

    def __init__(self, directory: Path, rank: int):
        directory.mkdir(parents=True, exist_ok=True)
        self.file = os.open(directory / str(rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1
        os.pwrite(self.file, str(self.beats).encode(), 0)


class Pulse:
    """Of all ranks of a launch, from when it is made. Its clock is one that nobody sets."""

    def __init__(self, directory: Path):
        shutil.rmtree(directory, ignore_errors=True)
        self.directory = directory
        self.beats: dict[str, int] = {}
        self.last_change = time.monotonic()

    def silence_seconds(self) -> float:
        """For how long no rank has gone on."""
        beats = {path.name: int(path.read_bytes() or b"0") for path in self.directory.glob("*")}
        if beats != self.beats:
            self.beats, self.last_change = beats, time.monotonic()
        return time.monotonic() - self.last_change

    def who(self) -> str:
        """Who stopped first, as far as that can be told."""
        first = [rank for rank, beats in self.beats.items() if beats == min(self.beats.values())]
        return f"rank {', '.join(sorted(first, key=int))} hangs" if len(first) < len(self.beats) else "all ranks hang"
