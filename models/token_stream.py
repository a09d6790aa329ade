"""Which tokens come when: a function of (seed, index of the sequence), drawn exactly to the weights.

Sequences are fixed windows over a domain's tokens. A domain's windows come in a fresh permutation per epoch, so none is read twice before
all were read once. Nothing is remembered between calls: a run that resumes, on any number of ranks, reads what would have come.
"""

import zlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

BLOCK = 1000  # sequences; in each block every domain's count is its share of the block rounded up or down


def natural_weights(tokens_by_domain: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Each domain's share of all tokens."""
    total = sum(len(tokens) for tokens in tokens_by_domain.values())
    return {domain: len(tokens) / total for domain, tokens in tokens_by_domain.items()}


class TokenStream:
    """The training stream of one run.

    Args:
        tokens_by_domain: token ids, one array (or memory map) per domain.
        weights_by_domain: shares of sequences, summing to one. Domains are matched by name; those without weight are not read.
        sequence_length: tokens that a sequence predicts; it reads one more.
        num_sequences: length of the stream.
        seed: of the permutations.
        max_epochs: cap on how often any domain is repeated.

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
        max_epochs: float | None = None,
    ):
        if absent := [domain for domain, weight in weights_by_domain.items() if weight > 0 and domain not in tokens_by_domain]:
            raise ValueError(f"domain '{absent[0]}' has weight {weights_by_domain[absent[0]]:g} but no tokens; there are {sorted(tokens_by_domain)}")
        self.domains = sorted(domain for domain, weight in weights_by_domain.items() if weight > 0)
        self.tokens = [tokens_by_domain[domain] for domain in self.domains]
        self.sequence_length, self.num_sequences, self.seed = sequence_length, num_sequences, seed
        self.num_windows = np.array([(len(tokens) - 1) // sequence_length for tokens in self.tokens])
        weights = np.array([weights_by_domain[domain] for domain in self.domains], dtype=np.float64)
        self.block_counts = apportion(weights / weights.sum(), -(-num_sequences // BLOCK))
        self.drawn_before_block = np.vstack([np.zeros(len(weights), np.int64), np.cumsum(self.block_counts, axis=0)])
        self._permutation = lru_cache(maxsize=2 * len(self.domains))(self._permutation_of_epoch)
        for domain, tokens, windows in zip(self.domains, self.tokens, self.num_windows, strict=True):
            if windows < 1:
                raise ValueError(f"domain '{domain}' has {len(tokens)} tokens, fewer than one sequence of {sequence_length} + 1")
        for domain, epochs in self.epochs_by_domain(num_sequences).items():
            if max_epochs is not None and epochs > max_epochs:
                raise ValueError(
                    f"domain '{domain}' would be read {epochs:.2f} times, more than max_epochs {max_epochs:g}: "
                    f"lower its weight {weights_by_domain[domain]:g} or the budget, or raise the cap"
                )

    def sequences(self, start: int, stop: int) -> np.ndarray:
        """Token ids of the sequences `start` to `stop` (exclusive), int64 [stop - start, sequence_length + 1]."""
        domain_of, draw_of = self._draws(start, stop)
        rows = np.empty((stop - start, self.sequence_length + 1), dtype=np.int64)
        for row, (domain, draw) in enumerate(zip(domain_of.tolist(), draw_of.tolist(), strict=True)):
            epoch, position = divmod(draw, int(self.num_windows[domain]))
            first = int(self._permutation(domain, epoch)[position]) * self.sequence_length
            rows[row] = self.tokens[domain][first : first + self.sequence_length + 1]
        return rows

    def tokens_by_domain(self, stop: int) -> dict[str, int]:
        """Tokens predicted in the first `stop` sequences."""
        return {d: int(n) * self.sequence_length for d, n in zip(self.domains, self._drawn_before(stop), strict=True)}

    def epochs_by_domain(self, stop: int) -> dict[str, float]:
        """How often each domain's windows were read in the first `stop` sequences."""
        return {d: float(n / w) for d, n, w in zip(self.domains, self._drawn_before(stop), self.num_windows, strict=True)}

    def _drawn_before(self, index: int) -> np.ndarray:
        block, within = divmod(index, BLOCK)
        drawn = self.drawn_before_block[block]
        if within:
            drawn = drawn + np.bincount(spread(tuple(self.block_counts[block]))[:within], minlength=len(self.domains))
        return drawn

    def _draws(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """For each sequence its domain, and how many of that domain came before it."""
        if not 0 <= start <= stop <= self.num_sequences:
            raise IndexError(f"sequences {start} to {stop} of a stream of {self.num_sequences}")
        blocks = range(start // BLOCK, -(-stop // BLOCK))
        order = np.concatenate([np.empty(0, np.int64), *(spread(tuple(self.block_counts[block])) for block in blocks)])
        draws = np.empty_like(order)
        for domain in range(len(self.domains)):
            places = np.flatnonzero(order == domain)
            draws[places] = self.drawn_before_block[blocks.start, domain] + np.arange(len(places))
        here = slice(start - blocks.start * BLOCK, stop - blocks.start * BLOCK)
        return order[here], draws[here]

    def _permutation_of_epoch(self, domain: int, epoch: int) -> np.ndarray:
        name = zlib.crc32(self.domains[domain].encode())  # by name, so that other domains do not change this one's order
        return np.random.default_rng([self.seed, name, epoch]).permutation(self.num_windows[domain])


def apportion(weights: np.ndarray, num_blocks: int) -> np.ndarray:
    """Sequences per block and domain, int64 [num_blocks, num_domains]; every row sums to BLOCK.

    A count is its exact share of the block rounded down or up; the seats that rounding down leaves go to the domains that are furthest behind
    their share so far, so that the sum over blocks stays within about one sequence of the weights.
    """
    exact = weights * BLOCK
    floors = np.floor(exact + 1e-9).astype(np.int64)
    seats = BLOCK - int(floors.sum())
    counts = np.empty((num_blocks, len(weights)), dtype=np.int64)
    behind = np.zeros(len(weights))
    for block in range(num_blocks):
        behind += exact - floors
        counts[block] = floors
        raised = np.argsort(-behind, kind="stable")[:seats]
        counts[block, raised] += 1
        behind[raised] -= 1
    return counts


@lru_cache(maxsize=256)
def spread(counts: tuple[int, ...]) -> np.ndarray:
    """The domain of each sequence of a block, as evenly as can be: after n sequences every domain has floor or ceil of n * count / BLOCK.

    The quota method (Balinski and Young, 1975; as earliest deadline first: Still, 1979).
    """
    shares = np.array(counts) / sum(counts)
    drawn = np.zeros(len(counts))
    order = np.empty(sum(counts), dtype=np.int64)
    for n in range(len(order)):
        deadline = np.where(drawn < shares * (n + 1) - 1e-9, (drawn + 1) / np.maximum(shares, 1e-12), np.inf)
        order[n] = chosen = int(np.argmin(deadline))
        drawn[chosen] += 1
    return order
