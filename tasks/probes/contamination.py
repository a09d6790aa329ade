"""Scores on items that share n-grams with the training corpus, and on those that don't."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress

import numpy as np

from tasks.benchmarks.bits_per_byte import bits_per_byte
from tasks.benchmarks.choice_metrics import averages
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.items import Document
from tasks.benchmarks.version import Outline, digest
from tasks.evaluation_table import BITS_PER_BYTE, HELDOUT
from tasks.probes.base import Answer, Subject
from tasks.probes.config import ContaminationConfig
from tasks.probes.contamination_scan import Contamination

CONTAMINATED_ITEMS = "contaminated_items"  # how many are
JUDGED_ITEMS = "judged_items"  # how many are long enough to tell


class ContaminatedScores:
    def __init__(self, config: ContaminationConfig, found: Mapping[str, Contamination], documents: Sequence[Document]):
        self.config, self.found = config, found
        self.domain_N = np.array([document.domain for document in documents])
        self.bytes_N = np.array([len(document.text.encode()) for document in documents])

    def ask(self, subject: Subject) -> Iterator[Answer]:
        for benchmark, found in self.found.items():
            outline = self._outline(subject.outlines[benchmark], found)
            name, count = f"contamination/{benchmark}", len(found.judged)
            for metric, flags in ((CONTAMINATED_ITEMS, found.contaminated), (JUDGED_ITEMS, found.judged)):
                yield Answer(name, metric, Estimate(value=sum(flags), count=count), outline)
            clean = [judged and not contaminated for judged, contaminated in zip(found.judged, found.contaminated, strict=True)]
            for part, chosen in (("clean", clean), ("contaminated", found.contaminated)):
                for metric, estimate in self._estimates(subject, benchmark, chosen).items():
                    yield Answer(name, f"{metric}_{part}", estimate, outline)

    def _estimates(self, subject: Subject, benchmark: str, chosen: Sequence[bool]) -> dict[str, Estimate]:
        """Of the chosen items; None where there are none."""
        if benchmark.startswith(HELDOUT):
            in_domain = self.domain_N == benchmark.removeprefix(HELDOUT)
            bits_N, bytes_N = subject.bits_N[in_domain], self.bytes_N[in_domain]
            return {BITS_PER_BYTE: bits_per_byte(bits_N[list(chosen)], bytes_N[list(chosen)])}
        items = subject.items[benchmark]
        if not items:  # a task that isn't made of likelihoods
            return {}
        of_chosen = averages(list(compress(items, chosen))) if any(chosen) else {}
        return {metric: of_chosen.get(metric, Estimate(value=None, count=sum(chosen))) for metric in averages(items)}

    def _outline(self, outline: Outline, found: Contamination) -> Outline:
        """The benchmark's own, and which of its items are which: other corpora leave others."""
        settings = {"contamination": self.config.model_dump(), "parts": digest([found.judged, found.contaminated])}
        return outline.model_copy(update={"settings": outline.settings | settings})
