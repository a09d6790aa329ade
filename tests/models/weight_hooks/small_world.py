"""A world without a model: losses are a known function of the sequences that each domain has given."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from models.weight_hooks.stream_hook import Array, StreamHook


def trained(hook: StreamHook, losses_of: Callable[[Array], Array], start_d: Sequence[float] | Array, steps: int) -> tuple[Array, Array]:
    """Weights (u, d) of the stretches of a run, and the losses (u, d) before each. `losses_of` maps steps by domain (d) to losses (d)."""
    domains = [f"d{i}" for i in range(len(start_d))]
    starts = (*hook.starts(steps, domains), steps)
    seen_d = np.zeros(len(domains))
    weights_ud, losses_ud = np.empty((0, len(domains))), np.empty((0, len(domains)))
    for first, last in pairwise(starts):
        losses_ud = np.vstack([losses_ud, losses_of(seen_d)])
        weights_d = hook.weights(np.array(start_d), losses_ud, weights_ud, domains)
        weights_ud = np.vstack([weights_ud, weights_d])
        seen_d = seen_d + (last - first) * weights_d
    return weights_ud, losses_ud
