"""Ridge regression on the weights, or on their logarithms."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.laws.law import Array
from models.mixture_laws.surface import Surface, SurfaceLaw

PENALTIES = 10.0 ** np.arange(-6, 4)  # of a standardised regressor, in units of the squared residual of one run


class Linear(SurfaceLaw):
    """L_i(r) = c_i + sum_j t_ij g(r_j), with g(r) = log(r + epsilon_j), or g(r) = r.

    Source: arXiv 2407.01492 section 3.2, which regresses on the weights themselves (`regressors="weights", penalty=0`). On their logarithms it says what
    is known of data: the first per cent of a domain counts more than the last.
    Zero weights: epsilon_j is the geometric middle of a domain's smallest positive and its median positive weight, so that "none" lies below "little" by about
    as much as "little" lies below "usual". Half the smallest weight, as is customary for detection limits, would make the regression a test of presence.
    Bounds: none. Initialisation: closed form; the penalty has the smallest leave-one-out error (exact, by the hat matrix).
    Identifiability: weights sum to one, so of the coefficients on weights only differences are identified; the penalty chooses the smallest.
    Domains that never vary get no coefficient.
    """

    name = "linear"

    def __init__(self, regressors: Literal["log-weights", "weights"] = "log-weights", penalty: float | None = None) -> None:
        self.regressors = regressors
        self.penalty = penalty

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        offsets_d = _offsets(weights_nd) if self.regressors == "log-weights" else None
        return LinearSurface.fitted(offsets_d, self.penalty, weights_nd, loss_n)


@dataclass(frozen=True)
class LinearSurface(Surface):
    offsets_d: Array | None  # epsilon; None: weights themselves
    penalty: float
    means_d: Array  # of the regressors
    coefficients_d: Array
    intercept: float

    @classmethod
    def fitted(cls, offsets_d: Array | None, penalty: float | None, weights_nd: Array, loss_n: Array) -> "LinearSurface":
        regressors_nd = _regressors(weights_nd, offsets_d)
        means_d, scales_d = regressors_nd.mean(axis=0), regressors_nd.std(axis=0)
        varied_d = scales_d > 1e-12
        scales_d = np.where(varied_d, scales_d, 1.0)
        left_nk, singular_k, right_kd = np.linalg.svd((regressors_nd - means_d) / scales_d * varied_d, full_matrices=False)
        solid_k = singular_k > 1e-9 * singular_k.max(initial=0.0)
        left_nk, singular_k, right_kd = left_nk[:, solid_k], singular_k[solid_k], right_kd[solid_k]
        centred_n = loss_n - loss_n.mean()
        if penalty is None:
            penalty = min(PENALTIES, key=lambda it: _leave_one_out(left_nk, singular_k, centred_n, it))
        coefficients_d = right_kd.T @ (singular_k / (singular_k**2 + penalty) * (left_nk.T @ centred_n)) / scales_d
        return cls(offsets_d, float(penalty), means_d, coefficients_d, float(loss_n.mean()))

    def predict(self, weights_md: Array) -> Array:
        return self.intercept + (_regressors(weights_md, self.offsets_d) - self.means_d) @ self.coefficients_d

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return LinearSurface.fitted(self.offsets_d, self.penalty, weights_nd, loss_n)


def _regressors(weights_nd: Array, offsets_d: Array | None) -> Array:
    return weights_nd if offsets_d is None else np.log(weights_nd + offsets_d)


def _offsets(weights_nd: Array) -> Array:
    """epsilon (d); 1 for a domain that was never used."""
    offsets = [np.sqrt(used.min() * np.median(used)) if len(used := column[column > 0]) else 1.0 for column in weights_nd.T]
    return np.array(offsets)


def _leave_one_out(left_nk: Array, singular_k: Array, centred_n: Array, penalty: float) -> float:
    """Mean squared error of each run's prediction from all others (the mean is refitted as well)."""
    shrunk_nk = left_nk * (singular_k**2 / (singular_k**2 + penalty))
    leverage_n = (shrunk_nk * left_nk).sum(axis=1) + 1 / len(centred_n)
    residual_n = centred_n - shrunk_nk @ (left_nk.T @ centred_n)
    return float(np.mean((residual_n / np.maximum(1 - leverage_n, 1e-9)) ** 2))
