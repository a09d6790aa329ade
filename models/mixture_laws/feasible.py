"""Which mixtures may be proposed: shares between bounds, within a distance of what is known.

Shapes: d domains, m mixtures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array

ROUNDING = 1e-9  # by which sums of shares may miss one
UNSEEN_SHARE = 1e-12  # for a share of zero where bounds ask for some: below what any run can draw
BISECTIONS = 64  # halves the widest bracket below, of 2 x 64 in log scale, to rounding


@dataclass(frozen=True)
class FeasibleMixtures:
    """Mixtures w with low <= w <= high, sum 1 and KL(w || centre) <= `max_kl` in nats (no limit when None).

    A hard bound and not a penalty (as in arXiv 2602.12237): what it means does not depend on the unit of the loss.
    """

    low_d: Array
    high_d: Array
    centre_d: Array
    max_kl: float | None = None

    def __post_init__(self) -> None:
        if self.max_kl is not None:  # a share where the centre has none is infinitely far from it
            object.__setattr__(self, "high_d", np.where(self.centre_d > 0, self.high_d, np.minimum(self.high_d, self.low_d)))

    @property
    def anchor_d(self) -> Array:
        """Of all mixtures between the bounds, the one nearest to the centre in KL."""
        return _within_bounds(self.centre_d[None], self.low_d, self.high_d)[0]

    def divergence(self, weights_md: Array) -> Array:
        """KL(w || centre) (m) in nats."""
        return kl(weights_md, self.centre_d)

    def nearest(self, weights_md: Array) -> Array:
        """Feasible mixtures (m, d): scaled into the bounds, then moved towards the anchor until they are near enough to the centre."""
        inside_md = _within_bounds(weights_md, self.low_d, self.high_d)
        if self.max_kl is None:
            return inside_md
        anchor_d = self.anchor_d
        near_m, far_m = np.zeros(len(inside_md)), np.ones(len(inside_md))
        far_m[self.divergence(inside_md) <= self.max_kl] = np.nan  # they stay
        for _ in range(BISECTIONS):
            middle_m = np.where(np.isnan(far_m), 1.0, (near_m + far_m) / 2)
            is_near_m = self.divergence(anchor_d + middle_m[:, None] * (inside_md - anchor_d)) <= self.max_kl
            near_m, far_m = np.where(is_near_m, middle_m, near_m), np.where(is_near_m, far_m, middle_m)
        moved_md = anchor_d + near_m[:, None] * (inside_md - anchor_d)
        return np.where((near_m == 1)[:, None], inside_md, _summing_to_one(moved_md, self.low_d, self.high_d))

    def check(self, domains: Sequence[str], centre_name: str) -> None:
        """Whether any mixture is feasible.

        Raises:
            StudyError: naming the bounds that exclude each other.
        """
        for domain, low, high in zip(domains, self.low_d, self.high_d, strict=True):
            if low > high:
                raise StudyError(f"No mixture is within the bounds: '{domain}' must have a share of at least {low:.4g} and of at most {high:.4g}.")
        if (total := self.low_d.sum()) > 1 + ROUNDING:
            raise StudyError(f"No mixture is within the bounds: the minimum shares sum to {total:.4g}, more than one; lower some of them.")
        if (total := self.high_d.sum()) < 1 - ROUNDING:
            raise StudyError(f"No mixture is within the bounds: the maximum shares sum to {total:.4g}, less than one; raise some of them.")
        if self.max_kl is not None and (least := float(self.divergence(self.anchor_d[None])[0])) > self.max_kl * (1 + ROUNDING):
            off = np.argsort(-np.abs(self.anchor_d - self.centre_d))[:3]
            bounds = ", ".join(
                f"'{domains[j]}' {self.centre_d[j]:.4g} to {self.anchor_d[j]:.4g}" for j in off if self.anchor_d[j] != self.centre_d[j]
            )
            raise StudyError(
                f"No mixture is within a KL of {self.max_kl:g} nats of {centre_name}: the bounds move {bounds}, "
                f"which is {least:.4g} nats away; allow a KL of {least * 1.1:.2g} or loosen these bounds."
            )


def kl(weights_md: Array, centre_d: Array) -> Array:
    """sum_j w_j log(w_j / c_j) (m); infinite where a share is positive and the centre's is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_md = np.where(weights_md > 0, weights_md * np.log(weights_md / centre_d), 0.0)
    return terms_md.sum(axis=1)


def _within_bounds(weights_md: Array, low_d: Array, high_d: Array) -> Array:
    """clip(t w, low, high), with t for each mixture such that it sums to one: the KL projection onto the bounds."""
    may_be_none_md = (weights_md <= UNSEEN_SHARE) & (low_d == 0) & _others_suffice(weights_md, high_d)[:, None]
    positive_md = np.where(may_be_none_md, 0.0, np.maximum(weights_md, UNSEEN_SHARE))
    small_m, large_m = np.full(len(weights_md), -BISECTIONS, dtype=float), np.full(len(weights_md), BISECTIONS, dtype=float)
    for _ in range(BISECTIONS):
        middle_m = (small_m + large_m) / 2
        is_less_m = np.clip(np.exp(middle_m)[:, None] * positive_md, low_d, high_d).sum(axis=1) < 1
        small_m, large_m = np.where(is_less_m, middle_m, small_m), np.where(is_less_m, large_m, middle_m)
    return _summing_to_one(np.clip(np.exp(large_m)[:, None] * positive_md, low_d, high_d), low_d, high_d)


def _others_suffice(weights_md: Array, high_d: Array) -> Array:
    """Whether domains with a positive share can hold all tokens (m)."""
    return np.where(weights_md > UNSEEN_SHARE, high_d, 0.0).sum(axis=1) >= 1


def _summing_to_one(weights_md: Array, low_d: Array, high_d: Array) -> Array:
    """What is missing to one, or too much, is spread over the room that is left, so that bounds hold exactly."""
    missing_m = 1 - weights_md.sum(axis=1, keepdims=True)
    room_md = np.where((missing_m > 0) & (weights_md > 0), high_d - weights_md, np.where(missing_m < 0, weights_md - low_d, 0.0))
    room_m = room_md.sum(axis=1, keepdims=True)
    spread_md = np.divide(missing_m * room_md, room_m, out=np.zeros_like(weights_md), where=room_m > 0)
    return np.clip(weights_md + spread_md, low_d, high_d)
