"""What a stage reads and writes, between DVC's cache and the study's DVC remote, by md5.

In an own `Repo`, as DVC's objects are not made for threads, and without DVC's lock: a file of the cache never changes.
"""

from collections.abc import Iterable
from typing import Any, Literal

from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.loader import StageLoader

from flows.graph import StudyGraph, in_one_sentence
from models.frozen import StudyError
from tasks.stage import TemporaryError


def push_inputs(graph: StudyGraph, address: str) -> None:
    """Raises:
    TemporaryError, StudyError: here and in all that follow, the remote is out of reach or refuses.
    """
    move("push", inputs_of(graph, address))


def pull_inputs(graph: StudyGraph, address: str) -> None:
    """Puts them in place, too."""
    outs = inputs_of(graph, address)
    move("pull", outs)
    with in_one_sentence():
        for out in outs:
            out.checkout(force=True)


def push_outputs(graph: StudyGraph, address: str) -> None:
    move("push", stages_of_today(graph)[address].outs)


def pull_outputs(graph: StudyGraph, address: str, entry: dict[str, Any]) -> None:
    """Into the cache alone. `entry` is what dvc.lock will say of the stage."""
    stage = stages_of_today(graph)[address]
    StageLoader.fill_from_lock(stage, entry)
    move("pull", stage.outs)


def inputs_of(graph: StudyGraph, address: str) -> list[Output]:
    """Outputs of other stages that a stage reads from, wholly or in part."""
    makers = {maker for dependency in graph.stage(address).deps for maker in graph.makers(dependency)} - {address}
    stages = stages_of_today(graph)
    return [out for maker in sorted(makers) for out in stages[maker].outs]


def stages_of_today(graph: StudyGraph) -> dict[str, Stage]:
    with in_one_sentence():
        return {stage.addressing: stage for stage in Repo(graph.repo.root_dir).index.stages}


def move(direction: Literal["push", "pull"], outs: Iterable[Output]) -> None:
    for out in outs:
        assert out.repo
        cloud = out.repo.cloud
        try:
            with in_one_sentence():
                for store, objects in out.get_used_objs(push=direction == "push", force=True).items():
                    done = (cloud.push if direction == "push" else cloud.pull)(objects, odb=store)
                    if done.failed:
                        raise TemporaryError(f"{len(done.failed)} files of {out} could not be {direction}ed by DVC: see the log.")
        except PermissionError as error:
            raise StudyError(f"The DVC remote refuses to {direction} {out}: {error}; check its credentials.") from None
        except OSError as error:
            raise TemporaryError(f"The DVC remote is out of reach for {direction} of {out}: {error}.") from None
