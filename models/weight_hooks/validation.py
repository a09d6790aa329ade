"""Losses by domain while a run trains, on sequences that it never trains on: the last of each domain, the same for all runs over a corpus.

They are of the training tokens and not of the held-out documents: those judge mixtures, and weights that were tuned on them could not be judged.

Shapes: B sequences, L tokens that one predicts.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_AT_ONCE = 1 << 25  # elements; and so many sequences: the shapes of a forward pass do not depend on the number of ranks
SEQUENCES_AT_ONCE = 16


def without_validation(tokens_by_domain: Mapping[str, np.ndarray], num_sequences: int, sequence_length: int) -> dict[str, np.ndarray]:
    """What is trained on, where the last `num_sequences` of each domain are withheld.

    Raises:
        ValueError: naming the domain, where that is more than half of its tokens.
    """
    withheld = num_sequences * sequence_length
    for domain, tokens in tokens_by_domain.items():
        if num_sequences and 2 * (withheld + 1) > len(tokens):
            raise ValueError(
                f"domain '{domain}' has {len(tokens)} tokens, and withholding {num_sequences} sequences of {sequence_length} would leave less than "
                "half of them: lower hook.validation_sequences"
            )
    return {domain: tokens[: len(tokens) - withheld] for domain, tokens in tokens_by_domain.items()}


class Validation:
    """The withheld sequences of a corpus, shared out among ranks.

    Args:
        tokens_by_domain: all tokens, the withheld ones at the end.
        num_sequences: withheld of each domain.
        vocab_size: of the models.
        rank, ranks: which of how many this process is.
    """

    def __init__(self, tokens_by_domain: Mapping[str, np.ndarray], num_sequences: int, sequence_length: int, vocab_size: int, rank: int, ranks: int):
        self.domains, self.num_sequences = sorted(tokens_by_domain), num_sequences
        starts = -(num_sequences * sequence_length + 1) + sequence_length * np.arange(num_sequences)
        rows = [
            np.asarray(tokens[len(tokens) + start : len(tokens) + start + sequence_length + 1], dtype=np.int64)
            for tokens in (tokens_by_domain[domain] for domain in self.domains)
            for start in starts
        ]
        at_once = min(SEQUENCES_AT_ONCE, max(1, LOGITS_AT_ONCE // (sequence_length * vocab_size)))
        chunks = torch.from_numpy(np.stack(rows)).split(at_once)
        self.at_once, self.rank, self.ranks = at_once, rank, ranks
        # All ranks do as many forward passes: in ZeRO 3 each of them is a collective. What a rank does beyond its share counts for nothing.
        self.mine = [chunks[min(turn * ranks + rank, len(chunks) - 1)] for turn in range(-(-len(chunks) // ranks))]
        self.num_chunks, self.total = len(chunks), len(rows)

    def token_losses(self, model: Any, device: torch.device) -> list[Tensor]:
        """Of this rank's sequences, fp32 [B, L] each."""
        return [token_losses(model, sequences.to(device)) for sequences in self.mine]

    def sequence_means(self, values: list[Tensor]) -> Tensor:
        """The mean over tokens of each sequence, float64 [all sequences]; those of other ranks are 0, so that the sum over ranks has all."""
        means = torch.zeros(self.total, dtype=torch.float64, device=values[0].device)
        for turn, value in enumerate(values):
            if (chunk := turn * self.ranks + self.rank) < self.num_chunks:
                means[chunk * self.at_once : chunk * self.at_once + len(value)] = value.double().mean(dim=1)
        return means

    def by_domain(self, means: Tensor) -> dict[str, float]:
        """The mean over each domain's sequences."""
        return dict(zip(self.domains, means.view(len(self.domains), self.num_sequences).mean(dim=1).tolist(), strict=True))


@torch.no_grad()
def token_losses(model: Any, sequences: Tensor) -> Tensor:
    """Cross-entropy in nats, fp32 [B, L], of sequences of L + 1 tokens, without dropout."""
    was_training = model.training
    model.eval()
    logits_BLV = model(sequences[:, :-1].contiguous())
    model.train(was_training)
    targets_BL = sequences[:, 1:]
    return F.cross_entropy(logits_BLV.flatten(0, 1).float(), targets_BL.flatten(), reduction="none").view_as(targets_BL)
