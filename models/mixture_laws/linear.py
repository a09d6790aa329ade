"""Ridge regression on the weights, or on their logarithms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.laws.law import Array
from models.mixture_laws.surface import Surface, SurfaceLaw

Regressors = Literal["log-weights", "weights"]
PENALTIES = tuple(10.0**power for power in range(-6, 4))  # of a standardised regressor, in squared residuals of one run


class Linear(SurfaceLaw):
    """L_i(r) = c_i + sum_j t_ij g(r_j), with g(r) = log(r + epsilon_j), or r itself.

    Source: arXiv 2407.01492 section 3.2, which regresses on the weights (`regressors=("weights",), penalty=0`). On logarithms it says what is known
    of data: the first per cent of a domain counts more than the last.
    Zero weights: epsilon_j is the geometric middle of a domain's smallest positive and its median positive weight, so that "none" lies below
    "little" by about as much as "little" below "usual". Half the smallest weight, as for detection limits, would regress on mere presence.
    Bounds: none. Initialisation: closed form. Regressors and penalty have the smallest leave-one-out error (exact, by the hat matrix).
    Identifiability: weights sum to one, so of coefficients on weights only differences are identified; the penalty chooses the smallest. Domains that
    never vary get no coefficient.
    """

    name = "linear"

    def __init__(self, regressors: Sequence[Regressors] = ("log-weights", "weights"), penalty: float | None = None) -> None:
        """`regressors`: to choose from. `penalty`: chosen where None."""
        self.regressors = tuple(regressors)
        self.penalties = PENALTIES if penalty is None else (penalty,)

    def surface(self, weights_nd: Array, loss_n: Array) -> Surface:
        offsets_d = _offsets(weights_nd)
        tried = [LinearSurface.fitted(it, offsets_d, penalty, weights_nd, loss_n) for it in self.regressors for penalty in self.penalties]
        return min(tried, key=lambda surface: surface.leave_one_out_error)


@dataclass(frozen=True)
class LinearSurface(Surface):
    regressors: Regressors
    offsets_d: Array  # epsilon
    penalty: float
    means_d: Array  # of the regressors
    coefficients_d: Array
    intercept: float
    leave_one_out_error: float  # mean square

    @classmethod
    def fitted(cls, regressors: Regressors, offsets_d: Array, penalty: float, weights_nd: Array, loss_n: Array) -> "LinearSurface":
        columns_nd = _columns(regressors, offsets_d, weights_nd)
        means_d, scales_d = columns_nd.mean(axis=0), columns_nd.std(axis=0)
        varied_d = scales_d > 1e-12
        scales_d = np.where(varied_d, scales_d, 1.0)
        left_nk, singular_k, right_kd = np.linalg.svd((columns_nd - means_d) / scales_d * varied_d, full_matrices=False)
        solid_k = singular_k > 1e-9 * singular_k.max(initial=0.0)
        left_nk, singular_k, right_kd = left_nk[:, solid_k], singular_k[solid_k], right_kd[solid_k]
        centred_n = loss_n - loss_n.mean()
        shrunk_nk = left_nk * (singular_k**2 / (singular_k**2 + penalty))
        leverage_n = (shrunk_nk * left_nk).sum(axis=1) + 1 / len(loss_n)
        ahead_n = (centred_n - shrunk_nk @ (left_nk.T @ centred_n)) / np.maximum(1 - leverage_n, 1e-9)
        coefficients_d = right_kd.T @ (singular_k / (singular_k**2 + penalty) * (left_nk.T @ centred_n)) / scales_d
        return cls(regressors, offsets_d, penalty, means_d, coefficients_d, float(loss_n.mean()), float(np.mean(ahead_n**2)))

    def predict(self, weights_md: Array) -> Array:
        return self.intercept + (_columns(self.regressors, self.offsets_d, weights_md) - self.means_d) @ self.coefficients_d

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return LinearSurface.fitted(self.regressors, self.offsets_d, self.penalty, weights_nd, loss_n)


def _columns(regressors: Regressors, offsets_d: Array, weights_nd: Array) -> Array:
    return weights_nd if regressors == "weights" else np.log(weights_nd + offsets_d)


def _offsets(weights_nd: Array) -> Array:
    """epsilon (d); 1 for a domain that was never used."""
    used_d = [column[column > 0] for column in weights_nd.T]
    return np.array([np.sqrt(used.min() * np.median(used)) if len(used) else 1.0 for used in used_d])
