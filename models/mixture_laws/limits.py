"""What a person allows a proposed mixture to be: epochs at the target budget, shares, distance from what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.frozen import StudyError, nearest
from models.laws.law import Array
from models.mixture_laws.feasible import ROUNDING


@dataclass(frozen=True)
class Supply:
    """The tokens that there are, and what they shall be used for."""

    available_tokens: Mapping[str, float]  # by domain
    target_tokens: float | None = None  # of the training run that the mixture is for
    max_epochs: float | None = None  # no domain is seen more often

    def natural_shares(self, domains: Sequence[str]) -> Array:
        """(d) sums to one."""
        tokens_d = np.array([self.available_tokens[domain] for domain in domains])
        return tokens_d / tokens_d.sum()

    def epochs(self, weights: Mapping[str, float]) -> dict[str, float | None] | None:
        """How often each domain is seen at the target; None for one that is asked for and of which there is nothing."""
        if self.target_tokens is None:
            return None
        seen = {domain: weight * self.target_tokens for domain, weight in weights.items()}
        return {domain: _over(tokens, self.available_tokens[domain]) for domain, tokens in seen.items()}


@dataclass(frozen=True)
class Limits:
    """Shares by domain; domains that are not named have none but 0 and 1."""

    supply: Supply | None = None
    min_share: Mapping[str, float] = field(default_factory=dict)
    max_share: Mapping[str, float] = field(default_factory=dict)
    max_kl: float | None = None  # nats

    def bounds(self, domains: Sequence[str]) -> tuple[Array, Array]:
        """Lowest and highest share (d), (d), of which some mixture keeps to the caps on epochs.

        Raises:
            StudyError: for shares of unknown domains or out of [0, 1], and when there are not enough tokens.
        """
        low_d, high_d = self._shares("minimum", self.min_share, domains, 0.0), self._shares("maximum", self.max_share, domains, 1.0)
        if self.supply is None or self.supply.max_epochs is None or self.supply.target_tokens is None:
            return low_d, high_d
        supply, target_tokens, max_epochs = self.supply, self.supply.target_tokens, self.supply.max_epochs
        tokens_d = max_epochs * np.array([supply.available_tokens[domain] for domain in domains])
        if (allowed := float(tokens_d.sum())) < target_tokens * (1 - ROUNDING):
            raise StudyError(
                f"{max_epochs:g} epochs of the {allowed / max_epochs:.4g} available tokens are {allowed:.4g}, and the target asks for "
                f"{target_tokens:.4g}: {target_tokens - allowed:.4g} tokens are missing; allow {target_tokens * max_epochs / allowed:.3g} epochs, "
                "lower the target or add data."
            )
        for domain, low, tokens in zip(domains, low_d, tokens_d, strict=True):
            if low * target_tokens > tokens * (1 + ROUNDING):
                raise StudyError(
                    f"'{domain}' shall have at least {low:.4g} of {target_tokens:.4g} tokens, and {max_epochs:g} epochs of what is available are "
                    f"{tokens:.4g}: {low * target_tokens - tokens:.4g} tokens are missing; lower its minimum share or allow more epochs."
                )
        capped_d = np.minimum(high_d, tokens_d / target_tokens)
        if (filled := float(capped_d.sum())) < 1 - ROUNDING:
            binding = ", ".join(f"'{domain}' {cap:.3g}" for domain, cap in zip(domains, capped_d, strict=True))
            raise StudyError(
                f"Under {max_epochs:g} epochs and the maximum shares, the domains can fill {filled:.4g} of the target's tokens ({binding}): "
                f"{(1 - filled) * target_tokens:.4g} tokens are missing; allow more epochs, raise a maximum share or add data."
            )
        return np.minimum(low_d, capped_d), capped_d

    @staticmethod
    def _shares(word: str, shares: Mapping[str, float], domains: Sequence[str], otherwise: float) -> Array:
        for domain, share in shares.items():
            if domain not in domains:
                raise StudyError(f"A {word} share is given for '{domain}', which is no domain{nearest(domain, domains)}: {', '.join(domains)}.")
            if not 0 <= share <= 1:
                raise StudyError(f"The {word} share of '{domain}' is {share:g}: shares are between 0 and 1.")
        return np.array([float(shares.get(domain, otherwise)) for domain in domains])


def _over(tokens: float, available: float) -> float | None:
    return tokens / available if available > 0 else (0.0 if tokens == 0 else None)
