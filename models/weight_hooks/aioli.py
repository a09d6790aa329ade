"""Aioli (arXiv 2411.05735, algorithms 1 and 2): learns while training by how much each domain lowers the loss of each, and follows it.

A round begins with exploration: in sweeps, each domain has its turn to dominate the stream, and the drops of the validation losses over the turns
give A. The rest of the round is drawn by the weights p_j, multiplied with exp(step_size sum_i A_ij). Left out is the authors' optional moving average
of A, with which weights are no longer multiplied up.

Shapes: d domains, u measurements so far, t turns of a round.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from models.weight_hooks.stream_hook import Array, StreamHook, exponentiated


class Aioli(StreamHook):
    """Exponentiated gradient on a mixing law that is measured on the way; an interval is a round. Sweeps, dominance and step size are the authors'
    for seven domains (their scripts/full)."""

    hook: Literal["aioli"] = "aioli"
    sweeps: PositiveInt = Field(default=2, description="of each round, in which each domain has one turn")
    exploration_share: float = Field(default=0.3, gt=0, lt=1, description="of a round's tokens, that the turns take together")
    dominance: float = Field(default=0.75, gt=0, le=1, description="weight of the domain whose turn it is; the others share the rest evenly")
    step_size: PositiveFloat = Field(default=1.0, description="factor of the learnt effects in the exponent")
    normalise: bool = Field(default=True, description="shift A to be nowhere negative and scale it to sum to one")

    def starts(self, steps: int, domains: Sequence[str]) -> tuple[int, ...]:
        if self.dominance * len(domains) <= 1:
            raise ValueError(f"hook.dominance {self.dominance:g} is no more than an even share of {len(domains)} domains: raise it")
        rounds = (*super().starts(steps, domains), steps)
        turns = self.turns(len(domains))
        starts = tuple(
            first + round(share * (last - first)) for first, last in pairwise(rounds) for share in np.linspace(0, self.exploration_share, turns + 1)
        )
        if len(set(starts)) < len(starts):
            raise ValueError(
                f"the hook's {self.intervals} rounds of {turns} turns leave less than a step for each in a run of {steps}: "
                "lower hook.intervals or hook.sweeps, or raise hook.exploration_share"
            )
        return starts

    def turns(self, num_domains: int) -> int:
        return self.sweeps * num_domains

    def weights(self, start_d: Array, losses_ud: Array, weights_ud: Array, domains: Sequence[str]) -> Array:
        turns = self.turns(len(domains))
        turn = len(weights_ud) % (turns + 1)
        if turn < turns:
            return self.exploring(turn, len(domains))
        before_d = weights_ud[-turns - 1] if len(weights_ud) > turns else start_d
        return exponentiated(before_d, self.step_size * self.effects(losses_ud[-turns - 1 :], weights_ud[-turns:]).sum(axis=0))

    def exploring(self, turn: int, num_domains: int) -> Array:
        """Weights (d) of a turn. The order of domains is another in each sweep, since the first turns of a round lower losses more than the last."""
        weights_d = np.full(num_domains, (1 - self.dominance) / (num_domains - 1))
        sweep, place = divmod(turn, num_domains)
        weights_d[(place + sweep) % num_domains] = self.dominance
        return weights_d

    def effects(self, losses_td: Array, weights_td: Array) -> Array:
        """A (d, d): by how much a turn of domain j alone would lower the loss of i.

        losses_td: before each turn and after the last (t + 1, d).
        weights_td: by which the turns were drawn.
        """
        effects_dd = np.linalg.lstsq(weights_td, -np.diff(losses_td, axis=0), rcond=None)[0].T
        if self.normalise:
            effects_dd = effects_dd - min(0.0, effects_dd.min())
            effects_dd = effects_dd / (effects_dd.sum() or 1.0)
        return effects_dd

    def answer(self, weights_ud: Array) -> Array:
        """The mean of the rounds' weights, without the turns."""
        turns = self.turns(weights_ud.shape[1])
        return weights_ud[turns :: turns + 1].mean(axis=0)
