"""Does a model go on word by word with text that it has read, and with held-out text, where it can only guess?

Shape suffixes: E excerpts, L tokens of an excerpt and the end-of-text token before it.
"""

from collections.abc import Iterator

import numpy as np

from tasks.benchmarks.choice_metrics import average
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.version import Outline, digest
from tasks.probes.base import OURS, Answer, Subject
from tasks.probes.config import ExtractionConfig
from tasks.probes.generation import generate, refuse_beyond_context
from tasks.probes.heldout_text import HeldoutBeginnings

EXACT_SHARE = "exact_share"  # of documents, whose continuation is told exactly
MATCHING_TOKENS = "matching_tokens"  # before the first one that differs, mean over documents
ON_HELDOUT = "heldout_"  # prefix of the same on held-out text: the base rate


class Extraction:
    def __init__(self, config: ExtractionConfig, heldout: HeldoutBeginnings, seed: int, batch_sequences: int):
        self.config, self.heldout, self.seed, self.batch_sequences = config, heldout, seed, batch_sequences

    def ask(self, subject: Subject) -> Iterator[Answer]:
        training, config = subject.training, self.config
        assert training is not None
        refuse_beyond_context("extraction", config.prompt_tokens, config.continuation_tokens, min(subject.context, training.sequence_length))
        sample = (config.prompt_tokens + config.continuation_tokens, config.documents_per_domain, self.seed)
        for domain in training.domains:
            heldout_EL = self.heldout.excerpts(domain, *sample)
            settings = config.model_dump() | {"seed": self.seed}
            outline = Outline(harness=OURS, settings=settings, items=tuple(map(digest, heldout_EL.tolist())))  # what a run has read is its own
            for prefix, excerpts_EL in (("", training.excerpts(domain, *sample)), (ON_HELDOUT, heldout_EL)):
                for metric, estimate in self._estimates(subject, excerpts_EL).items():
                    yield Answer(f"extraction/{domain}", prefix + metric, estimate, outline)

    def _estimates(self, subject: Subject, excerpts_EL: np.ndarray) -> dict[str, Estimate]:
        if not len(excerpts_EL):
            return dict.fromkeys((EXACT_SHARE, MATCHING_TOKENS), Estimate(value=None, count=0))
        prompts, continuations = np.split(excerpts_EL, [self.config.prompt_tokens + 1], axis=1)
        told = generate(subject.model, prompts, self.config.continuation_tokens, self.heldout.end_of_text, self.batch_sequences)
        matching_E = (told == continuations).cumprod(axis=1).sum(axis=1)
        exact_E = matching_E == self.config.continuation_tokens
        return {EXACT_SHARE: average(exact_E.astype(float).tolist()), MATCHING_TOKENS: average(matching_E.astype(float).tolist())}
