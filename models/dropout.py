"""Dropout whose masks are a function of (seed, sequence, place, position): the same on any number of ranks, in any stack of a swarm, on any device,
and after any resume.

Shape suffixes: B batch, L length, D d_model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

WORD = 0xFFFF_FFFF  # 32 bits, in int64: products of two words wrap where they do in unsigned arithmetic


class Dropout:
    """Sets a `share` of the elements to zero and scales the others up (arXiv 1207.0580); without a share it does nothing. `first_sequence`: the index
    in the run's stream of the first sequence of the batch that comes next."""

    def __init__(self, share: float, seed: int):
        self.share, self.seed = share, seed
        self.first_sequence = 0

    def __call__(self, x_BLD: Tensor, place: int) -> Tensor:
        """`place`: the number of this use of dropout in the model."""
        return x_BLD * self.scales(x_BLD.shape, place, x_BLD.device).to(x_BLD.dtype) if self.share else x_BLD

    def scales(self, shape_BLD: Sequence[int], place: int, device: torch.device) -> Tensor:
        """[B, L, D] of 0 and 1 / (1 - share), in fp32."""
        batch, length, width = shape_BLD
        sequences_B = torch.arange(self.first_sequence, self.first_sequence + batch, device=device)
        of_place = mixed(torch.tensor(self.seed, device=device) + mixed(torch.tensor(place, device=device)))
        of_sequence_B = mixed(mixed(of_place + (sequences_B & WORD)) + (sequences_B >> 32))
        of_token_BL = mixed(of_sequence_B[:, None] + torch.arange(length, device=device))
        numbers_BLD = mixed(of_token_BL[..., None] + torch.arange(width, device=device))
        return (numbers_BLD >= int(self.share * (WORD + 1))) / (1 - self.share)


def mixed(words: Tensor) -> Tensor:
    """A permutation of 32-bit words without visible pattern (Wellons, "Prospecting for hash functions", lowbias32)."""
    words = words & WORD
    words = ((words ^ (words >> 16)) * 0x7FEB352D) & WORD
    words = ((words ^ (words >> 15)) * 0x846CA68B) & WORD
    return words ^ (words >> 16)
