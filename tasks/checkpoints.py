"""A run's checkpoints: one file each, which counts from when it stands in the list, with its hash and all that the run knows of itself there."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from models.frozen import Frozen
from tasks.atomic import read_json, write_json
from tasks.run_directory import md5_of


class Checkpoint(Frozen):
    """Parameters and moments by name are in `file`, whole whatever number of ranks wrote them; the rest of the run's state is in `facts`."""

    step: int
    file: str
    md5: str
    facts: dict[str, Any]


class Checkpoints:
    def __init__(self, directory: Path):
        self.directory = directory
        self.list_file = directory / "list.json"

    def listed(self) -> list[Checkpoint]:
        """Newest first."""
        return [Checkpoint.model_validate(one) for one in read_json(self.list_file)] if self.list_file.exists() else []

    def path(self, checkpoint: Checkpoint) -> Path:
        return self.directory / checkpoint.file

    def add(self, step: int, state: dict[str, Tensor], facts: dict[str, Any], keep: int, needed_steps: Iterable[int] = ()) -> None:
        """Writes a checkpoint, and removes all but the newest `keep` and those of `needed_steps`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = f"step-{step}.safetensors"
        listed = [one for one in self.listed() if one.step != step]
        if (self.directory / file).exists():
            self._write_list(listed)  # the file of a step that comes again is written anew
        save_file(state, self.directory / file)
        newest = Checkpoint(step=step, file=file, md5=md5_of(self.directory / file), facts=facts)
        listed = sorted([newest, *listed], key=lambda one: -one.step)
        needed = {step, *needed_steps, *(one.step for one in listed[:keep])}
        self._write_list([one for one in listed if one.step in needed])

    def newest_whole(self, is_usable: Callable[[Checkpoint], bool] = lambda _: True) -> Checkpoint | None:
        """The newest from which a run can go on. Damaged ones on the way to it are put aside, as `damaged-step-<n>.safetensors`."""
        for checkpoint in self.listed():
            if not self.is_whole(checkpoint):
                self._put_aside(checkpoint)
            elif is_usable(checkpoint):
                return checkpoint
        return None

    def is_whole(self, checkpoint: Checkpoint) -> bool:
        path = self.path(checkpoint)
        return path.exists() and md5_of(path) == checkpoint.md5

    def _put_aside(self, checkpoint: Checkpoint) -> None:
        path = self.path(checkpoint)
        print(f"The checkpoint {path} is damaged: it is put aside, and the run goes on from the one before.", file=sys.stderr, flush=True)
        if path.exists():
            path.rename(path.with_name(f"damaged-{path.name}"))
        self._write_list([one for one in self.listed() if one.step != checkpoint.step])

    def _write_list(self, checkpoints: list[Checkpoint]) -> None:
        """First the list, then what is no longer in it goes, and what a killed process left."""
        if self.directory.exists():
            write_json(self.list_file, [one.model_dump() for one in checkpoints])
        for path in self.directory.glob("step-*"):
            if path.name not in {one.file for one in checkpoints}:
                path.unlink()
