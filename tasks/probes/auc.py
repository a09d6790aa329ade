"""The area under the ROC curve with its standard error."""

import math

import numpy as np

from tasks.benchmarks.estimate import Estimate


def area_under_curve(members: np.ndarray, others: np.ndarray) -> Estimate:
    """The probability that a member scores higher than another, ties counted half, and its standard error by DeLong et al. (Biometrics 44, 1988,
    equations 4 to 6), which has nothing to say of two groups that don't overlap."""
    count = len(members) + len(others)
    if min(len(members), len(others)) < 2 or not np.isfinite([*members, *others]).all():
        return Estimate(value=None, count=count)
    of_members, of_others = placements(members, others), 1 - placements(others, members)
    value = float(of_members.mean())
    variance = of_members.var(ddof=1) / len(members) + of_others.var(ddof=1) / len(others)
    return Estimate(value=value, stderr=math.sqrt(variance) if 0 < value < 1 else None, count=count)


def placements(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each score, the share of the others that it is above of, ties counted half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(ordered))
