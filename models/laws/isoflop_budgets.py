"""Runs by compute budget, and the best model size of each.

Shapes: n runs, m budgets.
"""

from dataclasses import dataclass

import numpy as np

from models.laws.alike import within
from models.laws.bowl import Bowl, bowl
from models.laws.law import Array

# Heights above the minimum, in log loss, at which runs stop counting; wider ones are tried where noise hides the minimum. A compromise, from
# simulated budgets of 6 to 15 sizes and from arXiv 2406.19146's: at 5% a steep side moves the minimum more, at 2% fewer sizes count and the
# exponent scatters more. With noise of 1% or more, 5% was better: the first window here then holds too few sizes.
WINDOWS = (0.03, 0.1, 0.2, 0.5)
ROUNDS = 2  # the first tells by how much the loss falls with C, for runs whose C is not exactly their budget's


@dataclass(frozen=True)
class Budget:
    flops: float
    rows: Array  # of the runs, among all
    bowl: Bowl  # over log N


@dataclass(frozen=True)
class LeftOut:
    flops: float
    count: int  # of runs
    reason: str


def budgets(size: Array, flops: Array, loss: Array, weights: Array | None = None) -> tuple[list[Budget], list[LeftOut]]:
    """The budgets whose best size is bracketed, and the others.

    size: (n) N, or D: what the best of is sought.
    """
    slope, found, left_out = 0.0, [], []
    groups = within(flops)
    for _ in range(ROUNDS):
        found, left_out = [], []
        for rows in groups:
            log_flops = np.log(flops[rows])
            at_budget = np.log(loss[rows]) - slope * (log_flops - log_flops.mean())
            own = _of_budget(np.log(size[rows]), at_budget, None if weights is None else weights[rows])
            middle = float(np.exp(log_flops.mean()))
            if isinstance(own, Bowl):
                found.append(Budget(middle, rows, own))
            else:
                left_out.append(LeftOut(middle, len(rows), own))
        if len(found) < 2:
            break
        slope = float(np.polyfit(np.log([one.flops for one in found]), [one.bowl.floor for one in found], 1)[0])
    return found, left_out


def _of_budget(log_size: Array, log_loss: Array, weights: Array | None) -> Bowl | str:
    if len(np.unique(log_size)) < 3:
        return "fewer than 3 sizes"
    best = log_size[log_loss.argmin()]
    for end, name in ((log_size.min(), "smallest"), (log_size.max(), "largest")):
        if best == end:
            return f"the lowest loss is at the {name} size, so that the minimum is not bracketed"
    return bowl(log_size[:, None], log_loss, WINDOWS, weights)
