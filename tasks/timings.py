"""What the runs of this folder took, in `timing.json` beside their results. Time is in no output of DVC."""

from collections.abc import Iterator

from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json
from tasks.run_directory import RunDirectory, RunSpec


class Timing(Frozen):
    wall_seconds: float  # over all attempts
    tokens_per_second: float  # of its own steps
    ranks: int
    first_step: int = 0  # before it, it is the trunk of a shorter horizon


def timing_of(run: RunDirectory) -> Timing | None:
    """None as long as the run has not ended."""
    return Timing.model_validate(read_json(run.timing_file)) if run.timing_file.exists() else None


def timings() -> Iterator[tuple[RunSpec, Timing]]:
    """Of all finished runs."""
    for path in sorted(layout.RUN_DIRECTORIES.glob("*/timing.json")):
        run = RunDirectory(path.parent.name)
        if run.spec_file.exists() and run.is_finished and (timing := timing_of(run)):
            yield run.spec(), timing
