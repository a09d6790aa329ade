"""What is proposed for, and what that means for the domains that the runs tell apart.

Shapes: n runs, d domains, g groups of domains that the runs tell apart, t losses.
"""

from dataclasses import dataclass, field

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from models.mixture_laws.feasible import ROUNDING, FeasibleMixtures
from models.mixture_laws.law import MixtureRuns
from models.mixture_laws.limits import Limits
from models.mixture_laws.reuse import Distinguished, DomainChanges


@dataclass(frozen=True)
class Question:
    """What is proposed for."""

    target_t: Array
    higher_is_better: bool = False
    limits: Limits = field(default_factory=Limits)
    changes: DomainChanges = field(default_factory=DomainChanges)
    next_count: int | None = None  # None: as many as the changes of domains need
    flops_per_run: float | None = None
    confidence: float = 0.9
    seed: int = 0

    @property
    def sign(self) -> float:
        """What times the target shall be low."""
        return -1.0 if self.higher_is_better else 1.0


@dataclass(frozen=True)
class Setting:
    """The question, in terms of the domains and of what the runs tell apart."""

    domains: tuple[str, ...]
    known: Distinguished
    feasible: FeasibleMixtures  # of groups
    trainable: FeasibleMixtures  # of domains: for the next runs
    reference_d: Array
    reference_name: str
    limits: Limits

    @classmethod
    def of(cls, runs: MixtureRuns, question: Question) -> "Setting":
        limits, domains = question.limits, runs.domains
        known = Distinguished.by(runs, question.changes, limits.supply.available_tokens if limits.supply else None)
        if not known.groups:
            raise StudyError("No valid run is left that drew from any domain.")
        reference_d, name = (
            (limits.supply.natural_shares(domains), "the natural shares") if limits.supply else (runs.weights_nd.mean(axis=0), "the mean of the runs")
        )
        known_share = reference_d @ known.expansion_gd.any(axis=0)
        if not known_share:
            raise StudyError("No tokens are available of any domain that valid runs have drawn from: nothing can be predicted.")
        low_d, high_d = limits.bounds(domains)
        feasible = FeasibleMixtures(*known.bounds(low_d, high_d), known.centre(reference_d / known_share), limits.max_kl)
        if known.unseen and (filled := feasible.high_d.sum()) < min(1, high_d.sum()) - ROUNDING:
            raise StudyError(
                f"Without {', '.join(known.unseen)}, which no valid run has drawn from, the limits let the domains fill {filled:.4g} of the tokens: "
                "train runs with these first, or loosen the limits."
            )
        feasible.check(known.groups, name)
        return cls(domains, known, feasible, FeasibleMixtures(low_d, high_d, reference_d), reference_d, name, limits)

    def named(self, weights_d: Array) -> dict[str, float]:
        return dict(zip(self.domains, map(float, weights_d), strict=True))

    def epochs(self, weights_d: Array) -> dict[str, float | None] | None:
        return self.limits.supply.epochs(self.named(weights_d)) if self.limits.supply else None

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.known.unseen:
            named = ", ".join(f"'{domain}'" for domain in self.known.unseen)
            found.append(f"The proposal leaves out what no valid run has drawn from, and the next runs try it: {named}.")
        if not self.known.knows(self.reference_d[None])[0]:
            found.append(
                f"{self.reference_name.capitalize()} hold what no run tells about: prediction and KL are by the domains that runs have drawn from."
            )
        found += [
            f"The parts {name.replace('+', ', ')} were always drawn in proportion to their sizes: the proposal keeps that, and the next runs vary it."
            for name, row in zip(self.known.groups, self.known.expansion_gd, strict=True)
            if (row > 0).sum() > 1
        ]
        return tuple(found)

    @property
    def varied(self) -> list[tuple[int, ...]]:
        """Domains of each change that the runs can't tell anything about."""
        tied = [tuple(map(int, np.flatnonzero(row))) for row in self.known.expansion_gd if (row > 0).sum() > 1]
        return tied + [(self.domains.index(domain),) for domain in self.known.unseen]
