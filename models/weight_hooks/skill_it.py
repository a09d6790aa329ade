"""Skill-It (arXiv 2307.14430, algorithm 1): more of the domains that help those whose loss is still high, as a graph between them says.

Shapes: d domains, u measurements so far.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from models.frozen import Name, nearest
from models.weight_hooks.stream_hook import Array, StreamHook, exponentiated


class SkillIt(StreamHook):
    """Multiplicative weights over a window of validation losses."""

    hook: Literal["skill-it"] = "skill-it"
    graph: dict[Name, dict[Name, NonNegativeFloat]] = Field(
        default={},
        description="`{a: {b: 0.5}}`: how much training on domain a helps domain b, from 0; a domain helps itself by 1 where nothing else is said",
    )
    step_size: PositiveFloat = Field(default=0.5, description="factor of the losses (nats per token) in the exponent")
    window: PositiveInt = Field(default=3, description="how many of the last measurements are summed")

    def starts(self, steps: int, domains: Sequence[str]) -> tuple[int, ...]:
        for name in {*self.graph, *(helped for row in self.graph.values() for helped in row)}:
            if name not in domains:
                raise ValueError(f"hook.graph: there is no domain '{name}'{nearest(name, domains)}; the mixture draws from {', '.join(domains)}")
        return super().starts(steps, domains)

    def weights(self, start_d: Array, losses_ud: Array, weights_ud: Array, domains: Sequence[str]) -> Array:
        """p_i = start_i exp(step_size sum_j A_ij sum_window loss_j); before any training all losses count as one."""
        losses_d = losses_ud[1:][-self.window :].sum(axis=0) if len(weights_ud) else np.ones(len(domains))
        return exponentiated(start_d, self.step_size * self.adjacency(domains) @ losses_d)

    def adjacency(self, domains: Sequence[str]) -> Array:
        """A (d, d): row i, how much training on i helps each j."""
        return np.array([[self.graph.get(i, {}).get(j, float(i == j)) for j in domains] for i in domains])
