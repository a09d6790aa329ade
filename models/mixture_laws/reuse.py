"""Which runs are still valid after the set of domains changed, and what these runs can't tell.

Added: runs without the new domain are valid, its share in them is zero. Revised: runs that drew from the old version are not valid for the new one;
runs that had none of it are. Split: a run drew the old domain's tokens evenly, so its parts were in it in proportion to their sizes: it stays valid.
The set of cases is that of arXiv 2602.12237 (add, remove, revise, partition; there the old ratios are frozen and the changed part is searched alone).
A removed domain needs nothing: a maximum share of zero.

Shapes: n runs, d domains, g groups: domains that the law can tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.frozen import StudyError, nearest
from models.laws.law import Array
from models.mixture_laws.law import FittedMixtureLaw, MixtureRuns

IN_PROPORTION = 1e-6  # of a share


@dataclass(frozen=True)
class DomainChanges:
    added: tuple[str, ...] = ()
    revised: tuple[str, ...] = ()
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the old domain: its parts

    @property
    def any(self) -> bool:
        return bool(self.added or self.revised or self.split)

    @property
    def changed(self) -> tuple[str, ...]:
        """Domains of the new set that old runs may know nothing about."""
        return (*self.added, *self.revised, *(part for parts in self.split.values() for part in parts))


@dataclass(frozen=True)
class Reused:
    """The valid runs over the new domains; why the others are none."""

    runs: MixtureRuns
    keys: tuple[str, ...]
    set_aside: Mapping[str, str]  # key of a run: reason


def reused(runs: MixtureRuns, keys: Sequence[str], changes: DomainChanges, available_tokens: Mapping[str, float] | None) -> Reused:
    """The runs, over the domains as they are after the changes (sorted by name).

    Parts of a split domain may have columns already: of runs after the split.

    Raises:
        StudyError: for a change of a domain that there is not, or a split whose parts' sizes are not known.
    """
    shares = dict(zip(runs.domains, runs.weights_nd.T, strict=True))
    none = np.zeros(len(runs.weights_nd))
    for domain in changes.added:
        shares.setdefault(domain, none)
    for old, parts in changes.split.items():
        drawn = shares.pop(_known(old, shares, "split"))
        for part, proportion in zip(parts, _proportions(old, parts, available_tokens), strict=True):
            shares[part] = shares.get(part, none) + proportion * drawn
    set_aside: dict[str, str] = {}
    for domain in changes.revised:
        for key, share in zip(keys, shares[_known(domain, shares, "revised")], strict=True):
            if share > 0:
                set_aside.setdefault(key, f"drew {share:.3g} of its tokens from '{domain}' as it was before its revision")
    kept = np.array([key not in set_aside for key in keys], dtype=bool)
    domains = tuple(sorted(shares))
    weights_nd = np.stack([shares[domain] for domain in domains], axis=1)
    return Reused(MixtureRuns(domains, runs.loss_names, weights_nd[kept], runs.losses_nt[kept]), tuple(np.array(keys, dtype=object)[kept]), set_aside)


@dataclass(frozen=True)
class Distinguished:
    """What runs can tell apart: a domain, or parts of a split domain that were always drawn in proportion; not what no run has drawn from."""

    domains: tuple[str, ...]
    groups: tuple[str, ...]  # names: of the domain, or of the parts joined by '+'
    expansion_gd: Array  # rows sum to one

    @classmethod
    def by(cls, runs: MixtureRuns, changes: DomainChanges, available_tokens: Mapping[str, float] | None) -> "Distinguished":
        rows: dict[str, dict[str, float]] = {domain: {domain: 1.0} for domain in runs.domains}
        for old, parts in changes.split.items():
            proportions = np.array(_proportions(old, parts, available_tokens))
            parts_np = runs.weights_nd[:, [runs.domains.index(part) for part in parts]]
            if np.abs(parts_np - parts_np.sum(axis=1, keepdims=True) * proportions).max(initial=0) <= IN_PROPORTION:
                for part in parts:
                    del rows[part]
                rows["+".join(parts)] = dict(zip(parts, proportions, strict=True))
        drawn = dict(zip(runs.domains, runs.weights_nd.max(axis=0, initial=0), strict=True))
        rows = {name: row for name, row in sorted(rows.items()) if any(drawn[domain] > 0 for domain in row)}
        return cls(runs.domains, tuple(rows), np.array([[row.get(domain, 0.0) for domain in runs.domains] for row in rows.values()]))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Domains that no run has drawn from."""
        return tuple(domain for domain, held in zip(self.domains, self.expansion_gd.sum(axis=0), strict=True) if not held)

    def collapse(self, weights_md: Array) -> Array:
        """(m, g), without the unseen domains: what is left sums to one."""
        grouped_mg = weights_md @ (self.expansion_gd > 0).T
        return grouped_mg / grouped_mg.sum(axis=1, keepdims=True)

    def expand(self, weights_mg: Array) -> Array:
        """(m, d)"""
        return weights_mg @ self.expansion_gd

    def knows(self, weights_md: Array) -> Array:
        """Whether the runs can tell what these mixtures do (m): nothing of the unseen, parts in proportion."""
        return np.abs(self.expand(self.collapse(weights_md)) - weights_md).max(axis=1) <= IN_PROPORTION

    def bounds(self, low_d: Array, high_d: Array) -> tuple[Array, Array]:
        """Of the groups: every part of a group keeps to its own.

        Raises:
            StudyError: when a share is asked of a domain that no run has drawn from.
        """
        for domain, low in zip(self.domains, low_d, strict=True):
            if domain in self.unseen and low > 0:
                raise StudyError(
                    f"A minimum share of {low:g} is asked for '{domain}', and no valid run has drawn from it: train runs with it first "
                    "(propose without this minimum names them)."
                )
        held = self.expansion_gd > 0
        shares = np.where(held, self.expansion_gd, 1.0)
        return np.where(held, low_d / shares, 0.0).max(axis=1), np.where(held, high_d / shares, 1.0).min(axis=1)

    def centre(self, centre_d: Array) -> Array:
        """(g) such that KL from it to groups is KL from `centre_d` to what they expand to."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(self.expansion_gd > 0, self.expansion_gd * (np.log(centre_d) - np.log(self.expansion_gd)), 0.0)
        return np.exp(logs.sum(axis=1))


@dataclass(frozen=True)
class OverDomains(FittedMixtureLaw):
    """A law fitted to groups, for mixtures of domains."""

    of_groups: FittedMixtureLaw
    known: Distinguished

    def predict(self, weights_md: Array) -> Array:
        return self.of_groups.predict(self.known.collapse(weights_md))

    def draws(self, weights_md: Array, count: int, seed: int) -> Array:
        return self.of_groups.draws(self.known.collapse(weights_md), count, seed)


def _known(domain: str, shares: Mapping[str, Array], what: str) -> str:
    if domain not in shares:
        raise StudyError(f"'{domain}' is said to be {what}, and no run has a column of that name{nearest(domain, shares)}: {', '.join(shares)}.")
    return domain


def _proportions(old: str, parts: Sequence[str], available_tokens: Mapping[str, float] | None) -> list[float]:
    """Of the parts in the old domain: their sizes over its size."""
    missing = [part for part in parts if part not in (available_tokens or {})]
    if missing or available_tokens is None:
        raise StudyError(f"'{old}' is split into {', '.join(parts)}: give the available tokens of {', '.join(missing)}, to keep old runs.")
    total = sum(available_tokens[part] for part in parts)
    if total <= 0:
        raise StudyError(f"'{old}' is split into {', '.join(parts)}, of which no tokens are available.")
    return [available_tokens[part] / total for part in parts]
