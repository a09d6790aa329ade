"""What a mixture law is asked: which losses of which runs, checked and in an order that does not depend on the table's.

Shapes: n runs, d domains, t losses, m mixtures.
"""

from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.law import Array
from models.mixture_laws.folds import distinct_mixtures
from models.mixture_laws.law import MixtureRuns

FEWEST_MIXTURES = 5  # with fewer, leaving any out leaves nothing to learn from
SUM_TOLERANCE = 1e-6  # of a row's weights: who reads tables has normalised them
FEW_USES = 3  # mixtures: a domain in fewer has its effect from one or two runs


@dataclass(frozen=True)
class Asked:
    runs: MixtureRuns  # domains by name, losses that the target weighs by name and others after them, runs by weights
    target_t: Array  # 0 for losses that are only evidence
    columns_d: Array  # of the asker's weights, in our order

    @classmethod
    def of(cls, runs: MixtureRuns, target_t: Array, others: int = 0) -> "Asked":
        """`others`: how many losses besides the target's to take along, where they are numbers in all runs.

        Raises:
            StudyError: when there is nothing to fit: too few runs, values that are not numbers, weights that are not shares, losses all equal.
        """
        target_t = np.asarray(target_t, dtype=float)
        weights_nd, losses_nt = np.asarray(runs.weights_nd, dtype=float), np.asarray(runs.losses_nt, dtype=float)
        _check(runs, weights_nd, losses_nt, target_t)
        by_name = sorted(range(len(target_t)), key=lambda t: runs.loss_names[t])
        targets = [t for t in by_name if target_t[t]]
        usable = [t for t in by_name if not target_t[t] and np.isfinite(losses_nt[:, t]).all() and np.ptp(losses_nt[:, t])]
        kept, columns = targets + usable[:others], sorted(range(len(runs.domains)), key=lambda d: runs.domains[d])
        weights_nd, losses_nt = weights_nd[:, columns], losses_nt[:, kept]
        rows = np.lexsort(np.hstack([losses_nt, weights_nd]).T)
        domains, loss_names = tuple(runs.domains[d] for d in columns), tuple(runs.loss_names[t] for t in kept)
        return cls(MixtureRuns(domains, loss_names, weights_nd[rows], losses_nt[rows]), target_t[kept], np.array(columns))

    def ordered(self, weights_md: Array) -> Array:
        return np.asarray(weights_md, dtype=float)[:, self.columns_d]

    @property
    def without_others(self) -> "Asked":
        targets = np.flatnonzero(self.target_t)
        names = tuple(self.runs.loss_names[t] for t in targets)
        return Asked(
            MixtureRuns(self.runs.domains, names, self.runs.weights_nd, self.runs.losses_nt[:, targets]), self.target_t[targets], self.columns_d
        )

    def warnings(self) -> tuple[str, ...]:
        """What these runs can't tell any law, in words."""
        mixtures_nd = np.unique(self.runs.weights_nd, axis=0)
        uses_d, varied_d = (mixtures_nd > 0).sum(axis=0), np.ptp(mixtures_nd, axis=0) > 0
        cases = {
            "No mixture has any {}: nothing is known of its effect.": uses_d == 0,
            "All mixtures have the same share of {}: its effect can't be told from the others'.": (uses_d > 0) & ~varied_d,
            f"Fewer than {FEW_USES} mixtures have any {{}}: one run more could change its effect.": (uses_d > 0) & varied_d & (uses_d < FEW_USES),
        }
        found = [words.format(", ".join(np.array(self.runs.domains)[which])) for words, which in cases.items() if which.any()]
        if len(mixtures_nd) < len(self.runs.domains) + 2:
            found.append(f"{len(mixtures_nd)} mixtures of {len(self.runs.domains)} domains are fewer than a law of the weights has parameters.")
        return tuple(found)


def _check(runs: MixtureRuns, weights_nd: Array, losses_nt: Array, target_t: Array) -> None:
    if not np.isfinite(target_t).all() or not target_t.any():
        raise StudyError(f"The target weighs no loss ({', '.join(runs.loss_names)}): give at least one a finite weight other than 0.")
    wanted = np.flatnonzero(target_t)
    if len(bad := np.argwhere(~np.isfinite(losses_nt[:, wanted]))):
        row, t = bad[0]
        raise StudyError(f"{runs.loss_names[wanted[t]]} of run {row} is {losses_nt[row, wanted[t]]:g}, not a number: leave the run out, or the loss.")
    is_share_n = (weights_nd >= 0).all(axis=1) & (np.abs(weights_nd.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if len(bad := np.flatnonzero(~is_share_n)):
        weights = weights_nd[bad[0]]
        raise StudyError(f"The weights of run {bad[0]} sum to {weights.sum():g} (smallest {weights.min():g}): they must be shares that sum to one.")
    if (distinct := len(np.unique(distinct_mixtures(weights_nd)))) < FEWEST_MIXTURES:
        raise StudyError(f"A mixture law needs at least {FEWEST_MIXTURES} different mixtures, and there are {distinct}: train more of them.")
    target_n = losses_nt[:, wanted] @ target_t[wanted]
    if np.ptp(target_n) <= 1e-12 * np.abs(target_n).max():
        raise StudyError(f"All {len(target_n)} runs have the same target loss ({target_n[0]:g}): there is nothing to fit a law to.")
