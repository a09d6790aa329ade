"""How far predictions are from what was measured."""

import numpy as np
from scipy.stats import rankdata

from models.laws.law import Array


def metrics(actual: Array, predicted: Array, logarithmic: bool = True) -> dict[str, float]:
    """Of n rows: mean_relative_error (where nothing measured is 0), mean_absolute_error, rmse, rmse_log (root mean square of log predicted / actual),
    r2 (unless all actual values are equal). What can't be said is left out."""
    error = predicted - actual
    found = {"mean_absolute_error": float(np.abs(error).mean()), "rmse": float(np.sqrt(np.mean(error**2)))}
    if actual.all():
        found = {"mean_relative_error": float(np.abs(error / actual).mean())} | found
    if logarithmic and (actual > 0).all() and (predicted > 0).all():
        found["rmse_log"] = float(np.sqrt(np.mean(np.log(predicted / actual) ** 2)))
    if np.ptp(actual) > 0:
        found["r2"] = float(1 - np.sum(error**2) / np.sum((actual - actual.mean()) ** 2))
    return found


def spearman(actual: Array, predicted: Array) -> float | None:
    """Rank correlation; None for fewer than three rows, or when all on one side are equal."""
    if len(actual) < 3 or not np.ptp(actual) or not np.ptp(predicted):
        return None
    return float(np.corrcoef(rankdata(actual), rankdata(predicted))[0, 1])
