"""Documents of a domain in another order than the corpus', as if their tokens lay so.

Shape suffixes: D documents.
"""

import numpy as np
from pydantic import Field

from models.frozen import Frozen


class ScoreOrder(Frozen):
    """A curriculum."""

    by: str = Field(description="name of a score that a step of the recipe has written")
    rising: bool = Field(default=True, description="from the lowest to the highest, or from the highest down")


class ReorderedTokens:
    """Token ids that can be sliced, whole documents after each other in `order_D`.

    Args:
        tokens: token ids, documents one after another.
        offsets: where each starts, and the end, [D + 1].
        order_D: which document stands at which place.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, order_D: np.ndarray):
        start_D = np.asarray(offsets[:-1], dtype=np.int64)[order_D]
        self.tokens = tokens
        self.offsets = np.concatenate([[0], np.cumsum(np.diff(offsets).astype(np.int64)[order_D])])
        self.shift_D = start_D - self.offsets[:-1]  # from a place in this order to the one in `tokens`

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __getitem__(self, places: slice) -> np.ndarray:
        start, stop, step = places.indices(len(self))
        place = np.arange(start, stop, step)
        return np.asarray(self.tokens[place + self.shift_D[np.searchsorted(self.offsets, place, side="right") - 1]])


def by_score(score_D: np.ndarray, rising: bool) -> np.ndarray:
    """Documents from the lowest score to the highest, or from the highest down, int64 [D]; equal ones as they were.

    Raises:
        ValueError: when one has no score; without the domain's name.
    """
    if missing := int(np.isnan(score_D).sum()):
        raise ValueError(f"has {missing:,} of {len(score_D):,} documents without this score")
    return np.argsort(score_D if rising else -score_D, kind="stable")
