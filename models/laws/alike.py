"""Which runs count as one setting though a number of theirs differs a little, such as FLOPs that are counted, or tokens that end on a whole step."""

import numpy as np

from models.laws.law import Array

TOLERANCE = 0.1  # relative, as in arXiv 2406.19146's analysis of compute budgets


def within(values: Array, tolerance: float = TOLERANCE) -> list[Array]:
    """Indices of groups whose values differ by at most `tolerance` relative: the window that holds the most values first, then of the rest. In
    ascending order of the values."""
    log_values, groups = np.log(values), []
    left = np.argsort(log_values, kind="stable")
    width = np.log1p(tolerance) + 1e-9
    while len(left):
        ends = np.searchsorted(log_values[left], log_values[left] + width, side="right")
        begin = int((ends - np.arange(len(left))).argmax())
        groups.append(left[begin : ends[begin]])
        left = np.concatenate([left[:begin], left[ends[begin] :]])
    return sorted(groups, key=lambda group: log_values[group[0]])
