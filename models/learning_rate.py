"""Learning-rate schedules: the share of the peak that a step has, once it is warm."""

import math
from typing import Literal

ScheduleName = Literal["cosine", "wsd", "constant", "power"]

POWER_AMPLITUDE, POWER_EXPONENT = 4.0, -0.51  # of the Power scheduler, arXiv 2408.13359, for PowerLM-3B
POWER_SEQUENCE_TOKENS = 4096  # it counts a batch in sequences of so many


def cosine(decayed: float) -> float:
    """arXiv 1608.03983, equation 5. `decayed`: how much of the decay is over, 0 to 1."""
    return (1 + math.cos(math.pi * decayed)) / 2


def one_minus_sqrt(decayed: float) -> float:
    """arXiv 2405.18392, section 3."""
    return 1 - math.sqrt(decayed)


def power(batch_tokens: int, tokens_seen: int) -> float:
    """The learning rate that the Power scheduler allows at most: in proportion to the batch and to a power of the tokens seen, whatever the horizon
    (arXiv 2408.13359, section 4)."""
    return batch_tokens / POWER_SEQUENCE_TOKENS * POWER_AMPLITUDE * max(tokens_seen, 1) ** POWER_EXPONENT
