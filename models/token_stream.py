"""Which tokens come when: a function of (seed, index of the sequence), drawn exactly to the weights.

Sequences are fixed windows over a domain's tokens. A domain's windows come in a fresh permutation per epoch, so none is read twice before
all were read once. Nothing is remembered between calls: a run that resumes, on any number of ranks, reads what would have come.
"""

import zlib
from collections.abc import Iterable, Mapping
from copy import copy
from functools import lru_cache

import numpy as np

from models.domain_order import DomainOrder, Segment

ORDER_SLACK = 2  # sequences that a domain may be ahead of its weights (models/domain_order.py)


def natural_weights(tokens_by_domain: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Each domain's share of all tokens."""
    total = sum(len(tokens) for tokens in tokens_by_domain.values())
    return {domain: len(tokens) / total for domain, tokens in tokens_by_domain.items()}


class TokenStream:
    """The training stream of one run.

    Args:
        tokens_by_domain: token ids, one array (or memory map) per domain.
        weights_by_domain: shares of sequences, summing to one. Domains are matched by name; those that never have weight are not read.
        sequence_length: tokens that a sequence predicts; it reads one more.
        num_sequences: length of the stream.
        seed: of the permutations.
        max_epochs: cap on how often any domain is repeated, or by domain.
        segments: other weights later on, by start.
        corpus_share: share of each domain that is read at all. A smaller share is part of a larger one, and the same for every seed.

    Raises:
        ValueError: naming the domain, when it has no tokens, less than one sequence, or would be repeated beyond `max_epochs`.
    """

    def __init__(
        self,
        tokens_by_domain: Mapping[str, np.ndarray],
        weights_by_domain: Mapping[str, float],
        sequence_length: int,
        num_sequences: int,
        seed: int,
        max_epochs: float | Mapping[str, float] | None = None,
        segments: Iterable[Segment] = (),
        corpus_share: float = 1.0,
    ):
        all_segments = (Segment(start_sequence=0, weights_by_domain=dict(weights_by_domain)), *segments)
        largest: dict[str, float] = {}
        for segment in all_segments:
            largest |= {domain: max(weight, largest.get(domain, 0.0)) for domain, weight in segment.weights_by_domain.items()}
        if absent := [domain for domain, weight in largest.items() if weight > 0 and domain not in tokens_by_domain]:
            raise ValueError(f"domain '{absent[0]}' has weight {largest[absent[0]]:g} but no tokens; there are {sorted(tokens_by_domain)}")
        self.domains = sorted(domain for domain, weight in largest.items() if weight > 0)
        self.tokens = [tokens_by_domain[domain] for domain in self.domains]
        self.sequence_length, self.num_sequences, self.seed = sequence_length, num_sequences, seed
        all_windows = [(len(tokens) - 1) // sequence_length for tokens in self.tokens]
        for domain, tokens, windows in zip(self.domains, self.tokens, all_windows, strict=True):
            if windows < 1:
                raise ValueError(f"domain '{domain}' has {len(tokens)} tokens, fewer than one sequence of {sequence_length} + 1")
            if round(corpus_share * windows) < 1:
                raise ValueError(f"{corpus_share:.3g} of domain '{domain}', {len(tokens)} tokens, is less than one sequence of {sequence_length}")
        self.windows = [self._part_of(domain, windows, corpus_share) for domain, windows in enumerate(all_windows)]
        self.num_windows = np.array([len(windows) for windows in self.windows])
        self.order = DomainOrder(self.domains, all_segments, num_sequences)
        self._permutation = lru_cache(maxsize=2 * len(self.domains))(self._permutation_of_epoch)
        self._check_caps(max_epochs if isinstance(max_epochs, Mapping) else dict.fromkeys(self.domains, max_epochs))

    def with_weights_from(self, sequence: int, weights_by_domain: Mapping[str, float]) -> "TokenStream":
        """The same stream before `sequence`, other weights from it on; each domain goes on where it was. Other segments that were to start later are
        left out, and caps on epochs are not looked at again.

        Raises:
            ValueError: when a domain has weight that had none from the start.
        """
        if new := [domain for domain, weight in weights_by_domain.items() if weight > 0 and domain not in self.domains]:
            raise ValueError(
                f"domain '{new[0]}' can't get weight {weights_by_domain[new[0]]:g} while training: it had none; there are {self.domains}"
            )
        changed = copy(self)
        changed.order = self.order.with_weights_from(sequence, weights_by_domain)
        return changed

    def sequences(self, start: int, stop: int) -> np.ndarray:
        """Token ids of the sequences `start` to `stop` (exclusive), int64 [stop - start, sequence_length + 1]."""
        domain_of, draw_of = self.order.places(start, stop)
        rows = np.empty((stop - start, self.sequence_length + 1), dtype=np.int64)
        for row, (domain, draw) in enumerate(zip(domain_of.tolist(), draw_of.tolist(), strict=True)):
            epoch, position = divmod(draw, int(self.num_windows[domain]))
            first = int(self._permutation(domain, epoch)[position]) * self.sequence_length
            rows[row] = self.tokens[domain][first : first + self.sequence_length + 1]
        return rows

    def tokens_by_domain(self, stop: int) -> dict[str, int]:
        """Tokens predicted in the first `stop` sequences."""
        return {d: int(n) * self.sequence_length for d, n in zip(self.domains, self.order.drawn_before(stop), strict=True)}

    def epochs_by_domain(self, stop: int) -> dict[str, float]:
        """How often each domain's windows were read in the first `stop` sequences."""
        return {d: float(n / w) for d, n, w in zip(self.domains, self.order.drawn_before(stop), self.num_windows, strict=True)}

    def most_weights(self, start: int, num_sequences: int, max_epochs: float | Mapping[str, float] | None) -> dict[str, float]:
        """The largest weights in the `num_sequences` from `start` on with which each domain keeps its cap; 1 where it has none."""
        caps = max_epochs if isinstance(max_epochs, Mapping) else dict.fromkeys(self.domains, max_epochs)
        most = {}
        for domain, windows, drawn in zip(self.domains, self.num_windows, self.order.drawn_before(start), strict=True):
            cap = caps.get(domain)
            room = num_sequences if cap is None else cap * windows - drawn - ORDER_SLACK
            most[domain] = min(1.0, max(0.0, float(room / num_sequences)))
        return most

    def _check_caps(self, max_epochs: Mapping[str, float | None]) -> None:
        for domain, epochs in self.epochs_by_domain(self.num_sequences).items():
            cap = max_epochs.get(domain)
            if cap is not None and epochs > cap:
                windows = int(self.num_windows[self.domains.index(domain)])
                weight, allowed = epochs * windows / self.num_sequences, int(cap * windows)
                raise ValueError(
                    f"domain '{domain}' would be read {epochs:.2f} times, more than max_epochs {cap:g}: lower its weight from {weight:.3g} to "
                    f"{allowed / self.num_sequences:.3g}, or the budget to {int(allowed / weight) * self.sequence_length:,} tokens, or raise the cap"
                )

    def _part_of(self, domain: int, num_windows: int, share: float) -> np.ndarray:
        """Windows that are read, in their order."""
        if share >= 1:
            return np.arange(num_windows)
        return np.sort(np.random.default_rng(self._name(domain)).permutation(num_windows)[: round(share * num_windows)])

    def _permutation_of_epoch(self, domain: int, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, self._name(domain), epoch]).permutation(self.windows[domain])

    def _name(self, domain: int) -> int:
        return zlib.crc32(self.domains[domain].encode())  # by name, so that other domains do not change this one's order
