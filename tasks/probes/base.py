"""What a probe is: something that is asked of every model of a study alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.version import Outline
from tasks.probes.training_text import TrainingText

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OURS = "assay"  # the harness of our own probes


@dataclass(frozen=True)
class Subject:
    """A model, and what was found out about it before."""

    model: "PreTrainedModel"
    context: int
    bits_N: np.ndarray  # of each held-out document
    items: Mapping[str, Sequence[Mapping[str, float]]]  # metrics of each item by benchmark
    outlines: Mapping[str, Outline]  # by benchmark
    training: TrainingText | None  # None when no probe reads it


class Answer(NamedTuple):
    benchmark: str
    metric: str
    estimate: Estimate
    outline: Outline


class Probe(Protocol):
    def ask(self, subject: Subject) -> Iterator[Answer]:
        """Of all models the same benchmarks and metrics, in the same order; what can't be measured is None.

        Raises:
            StudyError: when it can't be asked at all.
        """
        ...
