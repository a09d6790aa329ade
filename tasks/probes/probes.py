"""All probes that a study asks for, of one model after another."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks import layout
from tasks.benchmarks.items import Document
from tasks.benchmarks.version import version_of
from tasks.probes.age import Age
from tasks.probes.asked import AskedProbes
from tasks.probes.base import Answer, Probe, Subject
from tasks.probes.contamination import ContaminatedScores
from tasks.probes.extraction import Extraction
from tasks.probes.heldout_text import HeldoutBeginnings
from tasks.probes.membership import Membership
from tasks.probes.toxicity import Toxicity
from tasks.probes.training_text import TrainingText
from tasks.run_directory import RunResult

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Probes:
    """Prepared once per process."""

    def __init__(self, asked: AskedProbes, documents: Sequence[Document], tokenizer: "PreTrainedTokenizerFast", batch_sequences: int):
        """Raises:
        StudyError: when one can't be asked.
        """
        self.asked, config, seed = asked, asked.config, asked.seed
        heldout = HeldoutBeginnings(documents, tokenizer)
        self.probes: list[Probe] = []
        if config.contamination is not None:
            self.probes.append(ContaminatedScores(config.contamination, asked.contamination, documents))
        if config.membership is not None:
            self.probes.append(Membership(config.membership, heldout, seed, batch_sequences))
        if config.extraction is not None:
            self.probes.append(Extraction(config.extraction, heldout, seed, batch_sequences))
        if config.toxicity is not None:
            self.probes.append(Toxicity(config.toxicity, heldout, tokenizer, seed, batch_sequences))
        if config.age is not None:
            self.probes.append(Age(config.age, documents))

    def training_text(self, run: RunResult, tokens: int) -> TrainingText | None:
        """What a run's model has read after `tokens`; None when no probe asks for it."""
        if self.asked.config.membership is None and self.asked.config.extraction is None:
            return None
        return TrainingText(layout.TOKENS / run.recipe, run, tokens, self.asked.sequence_length)

    def ask(self, subject: Subject) -> Iterator[tuple[Answer, str]]:
        """Answers with their versions."""
        for probe in self.probes:
            for answer in probe.ask(subject):
                yield answer, version_of(answer.outline.model_dump(mode="json"), answer.metric, answer.outline.harness)
