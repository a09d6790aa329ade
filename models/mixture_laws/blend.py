"""How much each of several laws should say, from their errors on runs that they had not seen.

Shapes: k laws, n predictions of unseen runs, t losses.
"""

import numpy as np
from scipy.optimize import nnls

from models.laws.law import Array

GROSS_ERROR = 3.0  # errors count as at most this, in standard deviations of the loss: one broken run does not choose the law
EVIDENCE_OF_OTHERS = 64  # runs that the other losses' verdict on the laws is worth: with few runs, what holds for most losses holds for this one
SHRINKAGE = 0.05  # of the best law's squared error, for every law alone: equal laws get equal weights


def blend_weights(errors_knt: Array, runs: int) -> Array:
    """Weights (k, t), not negative, summing to one over laws, that minimise the squared error of the blended prediction (stacking, Breiman 1996).

    errors_knt: in standard deviations of each loss.
    """
    clipped_knt = np.clip(errors_knt, -GROSS_ERROR, GROSS_ERROR)
    products_tkk = np.einsum("knt,lnt->tkl", clipped_knt, clipped_knt)
    best_t = np.maximum(np.diagonal(products_tkk, axis1=1, axis2=2).min(axis=1), 1e-12)
    relative_tkk = products_tkk / best_t[:, None, None]
    pooled_tkk = (runs * relative_tkk + EVIDENCE_OF_OTHERS * relative_tkk.mean(axis=0)) / (runs + EVIDENCE_OF_OTHERS)
    return np.stack([_least_squares_on_simplex(pooled_kk + SHRINKAGE * np.eye(len(pooled_kk))) for pooled_kk in pooled_tkk], axis=1)


def _least_squares_on_simplex(products_kk: Array) -> Array:
    """The w >= 0 with sum 1 and least w' products w: non-negative least squares with a heavy row for the sum, then scaled."""
    heavy = 1e3 * np.sqrt(np.trace(products_kk))
    rows = np.vstack([np.linalg.cholesky(products_kk).T, np.full((1, len(products_kk)), heavy)])
    weights_k = nnls(rows, np.array([*np.zeros(len(products_kk)), heavy]))[0]
    return weights_k / weights_k.sum()
