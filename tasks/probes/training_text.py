"""What a run has read of its corpus: documents whose beginnings lay in one of its sequences, and those whose beginnings would have.

A corpus is often larger than a run's budget: text of the corpus that the run never reached would pass for text that leaves no trace.

Shape suffixes: D documents of a domain, E excerpts, L tokens of an excerpt and the end-of-text token before it, W windows of a domain.
"""

import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from models.domain_order import Segment
from models.frozen import StudyError
from models.token_stream import TokenStream
from tasks.run_directory import RunResult, StageWeights
from tasks.tokenize_corpus import TokenizedCorpus

SEQUENCES_AT_ONCE = 4096


class TrainingText:
    """Of one run after so many tokens."""

    def __init__(self, directory: Path, run: RunResult, tokens: int, sequence_length: int):
        """`directory` holds the tokenized corpus of the run's recipe.

        Raises:
            StudyError: when the run was trained on something else.
        """
        self.directory, self.run, self.sequence_length = directory, run, sequence_length
        self.num_sequences = tokens // sequence_length
        self.corpus = TokenizedCorpus(directory)
        if {domain: self.corpus.manifest.md5_by_domain.get(domain) for domain in run.tokens_md5_by_domain} != run.tokens_md5_by_domain:
            raise StudyError(
                f"Run {run.run} of {run.mixture} was trained on other tokens than {directory} holds now: `dvc repro pretrain@{run.mixture}`, or"
                " `dvc checkout`, or leave out evaluation.probes.membership and .extraction."
            )

    @property
    def domains(self) -> list[str]:
        return sorted(domain for domain, weight in self.run.weights_by_domain.items() if weight > 0)

    @cached_property
    def windows_read(self) -> dict[str, np.ndarray]:
        """bool [W] by domain. A window's tokens are those that one sequence predicts."""
        spans, total = {}, 0
        for domain in self.domains:
            length = len(self.corpus.tokens_by_domain[domain]) - self.run.withheld_sequences * self.sequence_length
            spans[domain] = range(total, total + length)
            total += length
        return windows_read(spans, self.run, self.sequence_length, self.num_sequences)

    def excerpts(self, domain: str, num_tokens: int, max_documents: int, seed: int, read: bool = True) -> np.ndarray:
        """int64 [E, L]: the beginnings of documents that have `num_tokens` or more, all of them predicted in one sequence with the end-of-text
        token before them; that the run has read, or has not. Drawn by `seed`."""
        offsets = np.load(self.directory / f"{domain}.offsets.npy", mmap_mode="r").astype(np.int64)
        start_D, length_D = offsets[:-1], np.diff(offsets) - 1  # without the end-of-text token
        read_W = self.windows_read[domain]
        window_D = np.maximum(start_D - 1, 0) // self.sequence_length
        fits_D = (length_D >= num_tokens) & (start_D > 0) & (window_D < len(read_W))  # nothing predicts the first token of a corpus
        fits_D &= start_D + num_tokens - 1 <= (window_D + 1) * self.sequence_length
        fits_D[fits_D] = read_W[window_D[fits_D]] == read
        chosen = draw(np.flatnonzero(fits_D), max_documents, seed, domain)
        tokens = self.corpus.tokens_by_domain[domain]
        columns = np.arange(-1, num_tokens)
        return np.asarray(tokens[start_D[chosen, None] + columns], dtype=np.int64).reshape(len(chosen), num_tokens + 1)


def windows_read(spans: Mapping[str, range], run: RunResult, sequence_length: int, num_sequences: int) -> dict[str, np.ndarray]:
    """bool [W] by domain: which windows lie in the first `num_sequences` sequences of a run. A token stream over positions, one span per domain,
    tells where it would have read.

    Raises:
        StudyError: when the run's own count of tokens by domain is another one.
    """
    positions = cast("Mapping[str, Any]", spans)
    total = run.target_steps * run.batch_tokens // sequence_length
    first, *later = run.stages or (StageWeights(after=0.0, weights_by_domain=run.weights_by_domain),)
    segments = [Segment(start_sequence=round(stage.after * total), weights_by_domain=stage.weights_by_domain) for stage in later]
    stream = TokenStream(positions, first.weights_by_domain, sequence_length, total, run.data_seed, None, segments, run.corpus_share)
    counted = stream.tokens_by_domain(stream.num_sequences)
    if counted != {domain: run.tokens_by_domain.get(domain) for domain in counted}:
        raise StudyError(
            f"Run {run.run} of {run.mixture} read other sequences than training.sequence_length {sequence_length} gives: it was trained by another"
            f" study; `dvc repro pretrain@{run.mixture}`."
        )
    read = {domain: np.zeros((len(span) - 1) // sequence_length, bool) for domain, span in spans.items()}
    for start in range(0, num_sequences, SEQUENCES_AT_ONCE):
        first = stream.sequences(start, min(num_sequences, start + SEQUENCES_AT_ONCE))[:, 0]
        for domain, span in spans.items():
            mine = first[(first >= span.start) & (first < span.stop)]
            read[domain][(mine - span.start) // sequence_length] = True
    return read


def draw(candidates: np.ndarray, at_most: int, seed: int, name: str) -> np.ndarray:
    """So many of the candidates, in their order."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return np.sort(generator.choice(candidates, min(at_most, len(candidates)), replace=False))
