"""Which runs speak for a mixture: how near they are, whether it lies between them, whether it is a corner that none reaches.

Shapes: n runs, d domains.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from models.frozen import Frozen
from models.laws.law import Array
from models.mixture_laws.candidates import distances
from models.mixture_laws.feasible import kl

NAMED = 3  # nearest runs
FAR = 0.95  # quantile of the distances between runs, beyond which a mixture is as far from all runs as few runs are
FAR_BETWEEN = 2.0  # times as far may be what lies between runs: there laws interpolate
SHARE_NOISE = 0.005  # by which tables round shares


class Neighbour(Frozen):
    run: str
    distance: float  # share of tokens that the two mixtures don't have in common


class Corner(Frozen):
    """A domain whose share is above that of every run."""

    share: float
    largest_observed: float


class Support(Frozen):
    supported: bool
    statement: str
    nearest_runs: tuple[Neighbour, ...]
    typical_distance: float  # median over runs of the distance to their nearest
    relative_distance: float | None  # of the nearest run, in typical distances; None when all runs are of one mixture
    kl_from_mean: float | None  # KL(mixture || mean of the runs) in nats; None when infinite
    inside_hull: bool  # whether it is an average of observed mixtures
    corners: dict[str, Corner]
    runs_at_or_above: dict[str, int]  # runs with at least this share of the domain; of domains with a share


def support(weights_d: Array, domains: Sequence[str], runs: Sequence[str], observed_nd: Array) -> Support:
    """What the runs, named by their keys, have to say about a mixture."""
    distance_n = distances(weights_d[None], observed_nd)[0]
    order = [int(i) for i in np.argsort(distance_n, kind="stable")[:NAMED]]
    between_n = nearest_distances(observed_nd)
    typical, far = (float(np.quantile(between_n, q)) for q in (0.5, FAR))
    largest_d = observed_nd.max(axis=0)
    corners = {
        domain: Corner(share=float(share), largest_observed=float(largest))
        for domain, share, largest in zip(domains, weights_d, largest_d, strict=True)
        if share > largest + SHARE_NOISE
    }
    nearest, divergence = float(distance_n[order[0]]), float(kl(weights_d[None], observed_nd.mean(axis=0))[0])
    is_between = inside_hull(weights_d, observed_nd)
    is_far = nearest > far * (FAR_BETWEEN if is_between else 1) + SHARE_NOISE
    return Support(
        supported=not corners and not is_far,
        statement=_statement(corners, nearest, typical, is_far, runs[order[0]]),
        nearest_runs=tuple(Neighbour(run=runs[i], distance=float(distance_n[i])) for i in order),
        typical_distance=typical,
        relative_distance=nearest / typical if typical > 0 else None,
        kl_from_mean=divergence if np.isfinite(divergence) else None,
        inside_hull=is_between,
        corners=corners,
        runs_at_or_above={
            domain: int((observed_nd[:, j] >= weights_d[j] - SHARE_NOISE).sum()) for j, domain in enumerate(domains) if weights_d[j] > SHARE_NOISE
        },
    )


def nearest_distances(observed_nd: Array) -> Array:
    """Of every distinct mixture to its nearest other; one zero when all are the same."""
    distinct_nd = np.unique(observed_nd, axis=0)
    if len(distinct_nd) < 2:
        return np.zeros(1)
    distance_nn = distances(distinct_nd, distinct_nd)
    np.fill_diagonal(distance_nn, np.inf)
    return distance_nn.min(axis=1)


def inside_hull(weights_d: Array, observed_nd: Array) -> bool:
    """Whether some average of the observed mixtures comes within rounding of this one."""
    num_runs, num_domains = observed_nd.shape
    # average over runs, plus and minus what it misses by domain; the least that is missed in total
    cost = np.concatenate([np.zeros(num_runs), np.ones(2 * num_domains)])
    equations = np.concatenate([observed_nd.T, np.eye(num_domains), -np.eye(num_domains)], axis=1)
    to_one = np.concatenate([np.ones(num_runs), np.zeros(2 * num_domains)])[None]
    solved = linprog(cost, A_eq=np.concatenate([equations, to_one]), b_eq=np.append(weights_d, 1.0), method="highs")
    return bool(solved.success and solved.fun / 2 <= SHARE_NOISE)


def _statement(corners: dict[str, Corner], nearest: float, typical: float, is_far: bool, run: str) -> str:
    if corners:
        named = ", ".join(f"{it.share:.3g} of '{domain}' (the most in any run is {it.largest_observed:.3g})" for domain, it in corners.items())
        return f"Not supported: the prediction extrapolates to a corner that no run reaches, with {named}. Limit the KL, or train a run there first."
    if is_far:
        return (
            f"Not supported: the nearest run, {run}, has {nearest:.3g} of its tokens elsewhere, where runs are typically {typical:.3g} apart; "
            "limit the KL, or train a run there first."
        )
    return f"Supported: the nearest run, {run}, has {nearest:.3g} of its tokens elsewhere; runs are typically {typical:.3g} apart."
