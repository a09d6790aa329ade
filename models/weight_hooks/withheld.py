"""The sequences that a run with a hook never trains on, so that its hook can measure on them: the last of each domain, the same for all runs.

They are of the training tokens and not of the held-out documents: those judge mixtures, and weights that were tuned on them could not be judged.
"""

from collections.abc import Mapping

import numpy as np


def without_withheld(tokens_by_domain: Mapping[str, np.ndarray], num_sequences: int, sequence_length: int) -> dict[str, np.ndarray]:
    """What is trained on, where the last `num_sequences` of each domain are withheld.

    Raises:
        ValueError: naming the domain, where that is more than half of its tokens.
    """
    withheld = num_sequences * sequence_length
    for domain, tokens in tokens_by_domain.items():
        if 2 * (withheld + 1) > len(tokens):
            raise ValueError(
                f"domain '{domain}' has {len(tokens)} tokens, and withholding {num_sequences} sequences of {sequence_length} would leave less than "
                "half of them: lower hook.validation_sequences"
            )
    return {domain: tokens[: len(tokens) - withheld] for domain, tokens in tokens_by_domain.items()}


def withheld(tokens: np.ndarray, num_sequences: int, sequence_length: int) -> np.ndarray:
    """The withheld sequences of one domain, int64 [num_sequences, sequence_length + 1]. Each begins with the token before those that it predicts."""
    first = len(tokens) - num_sequences * sequence_length - 1
    places = first + sequence_length * np.arange(num_sequences)[:, None] + np.arange(sequence_length + 1)
    return np.asarray(tokens[places], dtype=np.int64)
