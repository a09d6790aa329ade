"""The mixtures of a swarm: samples around the natural shares, from near them to the corners.

Shapes: d domains, m mixtures.
"""

from collections.abc import Sequence

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from models.mixture_laws.candidates import dirichlet, distances
from models.mixture_laws.feasible import FeasibleMixtures

SMALLEST_SHARE = 2e-4  # what is less becomes none (RegMix's code)
TRIES_PER_MIXTURE = 200


def sample_mixtures(
    natural_d: Array,
    high_d: Array,
    count: int,
    seed: int,
    temperature: float,
    strengths: tuple[float, float],
    apart: float,
    domains: Sequence[str],
) -> Array:
    """`count` mixtures (m, d) that sum to one, the first as near to the natural shares as the bounds allow, the others Dirichlet samples (RegMix,
    arXiv 2407.01492 section 3.1 and its code). Further ones are further draws: with a larger `count` the first are the same.

    natural_d: each domain's share of the tokens.
    high_d: the most that each may have, as a cap on epochs allows.
    temperature: exponent of the natural shares in the centre of the samples.
    strengths: smallest and largest sum of the Dirichlet distribution's parameters; between them it is drawn log-uniformly.
    apart: share of tokens in which any two mixtures differ, at least.

    Raises:
        StudyError: when the bounds leave no mixture, or not so many that differ.
    """
    feasible = FeasibleMixtures(np.zeros_like(natural_d), high_d, natural_d)
    feasible.check(domains, "the natural shares")
    centre_d = natural_d**temperature
    centre_d = centre_d / centre_d.sum()
    rng = np.random.default_rng(seed)
    low, high = np.log(strengths)
    chosen_md = feasible.anchor_d[None]
    for _ in range(TRIES_PER_MIXTURE * count):
        if len(chosen_md) >= count:
            return chosen_md
        strength = float(np.exp(rng.uniform(low, high)))
        drawn_d = dirichlet(centre_d, strength / len(centre_d), 1, rng)[0]
        kept_d = np.where(drawn_d < SMALLEST_SHARE, 0.0, drawn_d)
        [mixture_d] = feasible.nearest(kept_d[None] / kept_d.sum())
        if distances(chosen_md, mixture_d[None]).min() >= apart:
            chosen_md = np.vstack([chosen_md, mixture_d])
    raise StudyError(
        f"Only {len(chosen_md)} of {count} mixtures are {apart:g} apart within the caps: ask for fewer, lower `apart`, or raise max_epochs."
    )
