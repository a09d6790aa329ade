"""Which domain each sequence of a run is of: as evenly as can be, exactly to weights that may change on the way.

In any `BLOCK` sequences in a row, of one segment of weights, each domain has its share rounded down or up. Over everything before any sequence it
stays within about two sequences of what the weights so far ask for, however often they change.

Shape suffixes: D domains, N sequences, B blocks, R seats: sequences of a block that rounding all shares down leaves over.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.frozen import Frozen

BLOCK = 1000  # sequences


class Segment(Frozen):
    """Weights by domain, summing to one, from one sequence of a run on until the next segment starts."""

    start_sequence: int
    weights_by_domain: dict[str, float]


class DomainOrder:
    """The domains of `num_sequences` sequences.

    Args:
        domains: names of all that have weight in any segment.
        segments: by `start_sequence`, the first from 0.
        num_sequences: length of the run.
    """

    def __init__(self, domains: list[str], segments: tuple[Segment, ...], num_sequences: int):
        self.domains, self.segments, self.num_sequences = domains, segments, num_sequences
        self._parts: list[_Part] = []
        for segment, stop in zip(segments, [*(later.start_sequence for later in segments[1:]), num_sequences], strict=True):
            self._append(segment, stop)

    def with_weights_from(self, sequence: int, weights_by_domain: Mapping[str, float]) -> "DomainOrder":
        """The same order before `sequence`, other weights from it on. What was planned from there on is left out."""
        kept = sum(segment.start_sequence < sequence for segment in self.segments)
        changed = object.__new__(DomainOrder)
        changed.domains, changed.num_sequences = self.domains, self.num_sequences
        changed.segments = (*self.segments[:kept], Segment(start_sequence=sequence, weights_by_domain=dict(weights_by_domain)))
        changed._parts = self._parts[:kept]
        changed._append(changed.segments[-1], self.num_sequences)
        return changed

    def places(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """For each sequence from `start` to `stop` (exclusive) its domain's index, and how many of that domain came before it: two int64 [N]."""
        if not 0 <= start <= stop <= self.num_sequences:
            raise IndexError(f"sequences {start} to {stop} of a stream of {self.num_sequences}")
        ends = [*(part.start for part in self._parts[1:]), self.num_sequences]
        touched = [(part, end) for part, end in zip(self._parts, ends, strict=True) if start < end and part.start < stop]
        of_parts = [part.domains(max(start, part.start), min(stop, end)) for part, end in touched]
        domain_N = np.concatenate([np.empty(0, np.int64), *of_parts])
        draw_N = np.empty_like(domain_N)
        before_D = self.drawn_before(start)
        for domain in range(len(self.domains)):
            mine = np.flatnonzero(domain_N == domain)
            draw_N[mine] = before_D[domain] + np.arange(len(mine))
        return domain_N, draw_N

    def drawn_before(self, sequence: int) -> np.ndarray:
        """Sequences of each domain before `sequence`, int64 [D]."""
        part = next((part for part in reversed(self._parts) if part.start < sequence), None)
        return part.drawn_before(sequence) if part else np.zeros(len(self.domains), np.int64)

    def due_before(self, sequence: int) -> np.ndarray:
        """What the weights ask for before `sequence`, in sequences of each domain, [D]."""
        return next(part for part in reversed(self._parts) if part.start <= sequence).due_before(sequence)

    def _append(self, segment: Segment, stop: int) -> None:
        start = segment.start_sequence
        drawn_D = self.drawn_before(start)
        behind_D = self.due_before(start) - drawn_D if self._parts else np.zeros(len(self.domains))
        self._parts.append(_Part.of(start, stop, shares(segment, self.domains), drawn_D, behind_D))


def shares(segment: Segment, domains: list[str]) -> np.ndarray:
    """[D], summing to one."""
    weights_D = np.array([segment.weights_by_domain.get(domain, 0.0) for domain in domains])
    return weights_D / weights_D.sum()


@dataclass(frozen=True)
class _Part:
    """One segment: a block's order that repeats, except that its seats change hands between blocks.

    A domain that keeps a seat keeps that very seat. So any `BLOCK` sequences in a row hold each domain as often as one of the two blocks that they
    lie in does: its share rounded down or up.
    """

    start: int
    shares_D: np.ndarray
    drawn_at_start_D: np.ndarray
    behind_at_start_D: np.ndarray
    order_N: np.ndarray  # the first block's domains, int64 [BLOCK]
    seat_N: np.ndarray  # which seat a sequence of a block is; -1 for most, which are none
    holder_BR: np.ndarray  # the domain that holds the seat, by block
    seats_before_BD: np.ndarray  # held in all blocks before

    @classmethod
    def of(cls, start: int, stop: int, shares_D: np.ndarray, drawn_D: np.ndarray, behind_D: np.ndarray) -> "_Part":
        floor_D = np.floor(shares_D * BLOCK + 1e-9).astype(np.int64)
        needy_BR = apportion(shares_D * BLOCK - floor_D, BLOCK - int(floor_D.sum()), max(1, -(-(stop - start) // BLOCK)), behind_D)
        order_N = spread(floor_D + np.bincount(needy_BR[0], minlength=len(shares_D)), behind_D)
        middles = [int(places[len(places) // 2]) for domain in needy_BR[0] for places in [np.flatnonzero(order_N == domain)]]
        seat_N = np.full(BLOCK, -1)
        seat_N[sorted(middles)] = np.arange(len(middles))
        holder_BR = seated(needy_BR, first_R=order_N[sorted(middles)])
        held_BD = np.zeros((len(holder_BR), len(shares_D)), np.int64)
        np.put_along_axis(held_BD, holder_BR, 1, axis=1)
        before_BD = np.cumsum(held_BD, axis=0) - held_BD
        return cls(start, shares_D, drawn_D, behind_D, order_N, seat_N, holder_BR, before_BD)

    def domains(self, start: int, stop: int) -> np.ndarray:
        block_N, within_N = np.divmod(np.arange(start, stop) - self.start, BLOCK)
        seat_N = self.seat_N[within_N]
        domain_N = self.order_N[within_N].copy()
        seated_N = seat_N >= 0
        domain_N[seated_N] = self.holder_BR[block_N[seated_N], seat_N[seated_N]]
        return domain_N

    def drawn_before(self, sequence: int) -> np.ndarray:
        whole = (sequence - 1 - self.start) // BLOCK  # blocks before the one that `sequence - 1` is in
        floor_D = np.bincount(self.order_N[self.seat_N < 0], minlength=len(self.shares_D))
        rest_D = np.bincount(self.domains(self.start + whole * BLOCK, sequence), minlength=len(self.shares_D))
        return self.drawn_at_start_D + whole * floor_D + self.seats_before_BD[whole] + rest_D

    def due_before(self, sequence: int) -> np.ndarray:
        return self.drawn_at_start_D + self.behind_at_start_D + (sequence - self.start) * self.shares_D


def apportion(fraction_D: np.ndarray, seats: int, num_blocks: int, behind_D: np.ndarray) -> np.ndarray:
    """The domains that get a seat in each block, furthest behind their share first, int64 [num_blocks, seats]; so that the sum over blocks stays
    within about one sequence of the weights.

    Args:
        fraction_D: of each domain's share of a block, what rounding down takes from it; their sum is `seats`.
        behind_D: sequences that each is short of at the start.
    """
    needy_BR = np.empty((num_blocks, seats), dtype=np.int64)
    behind_D = behind_D.copy()
    for block in range(num_blocks):
        behind_D += fraction_D
        needy_BR[block] = np.argsort(-behind_D, kind="stable")[:seats]
        behind_D[needy_BR[block]] -= 1
    return needy_BR


def seated(needy_BR: np.ndarray, first_R: np.ndarray) -> np.ndarray:
    """The same domains by seat: who stays keeps the seat, who comes takes the first free one. `first_R`: the first block's."""
    holder_BR = np.empty_like(needy_BR)
    holder_BR[0] = first_R
    for block in range(1, len(needy_BR)):
        held_R, needy_R = holder_BR[block - 1], needy_BR[block]
        leaves_R = ~np.isin(held_R, needy_R)
        holder_BR[block] = held_R
        holder_BR[block, leaves_R] = needy_R[~np.isin(needy_R, held_R)]
    return holder_BR


def spread(count_D: np.ndarray, behind_D: np.ndarray) -> np.ndarray:
    """The domain of each sequence of a block, int64 [BLOCK], as evenly as can be: after n sequences a domain that began `behind` has had floor or
    ceil of n * count / BLOCK + behind, as far as its count allows.

    The quota method (Balinski and Young, 1975; as earliest deadline first: Still, 1979).
    """
    rate_D = (count_D / BLOCK).tolist()
    waiting = [
        ((1e-9 - behind) / rate - 1, domain, 0) for domain, (behind, rate) in enumerate(zip(behind_D.tolist(), rate_D, strict=True)) if rate > 0
    ]
    heapq.heapify(waiting)  # by the sequence from which on the domain may have its next one
    ready: list[tuple[float, int, int]] = []  # by the sequence before which it should
    order_N = np.empty(BLOCK, dtype=np.int64)
    for n in range(BLOCK):
        while waiting and (waiting[0][0] < n or not ready):
            _, domain, drawn = heapq.heappop(waiting)
            heapq.heappush(ready, ((drawn + 1 - behind_D[domain]) / rate_D[domain], domain, drawn))
        _, order_N[n], drawn = heapq.heappop(ready)
        domain = int(order_N[n])
        if drawn + 1 < count_D[domain]:
            heapq.heappush(waiting, ((drawn + 1 + 1e-9 - behind_D[domain]) / rate_D[domain] - 1, domain, drawn + 1))
    return order_N
