"""The laws together, each heard as far as it was right about runs that it had not seen.

Shapes: n runs, d domains, t losses, k laws, m mixtures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.laws.law import Array
from models.mixture_laws.asked import Asked
from models.mixture_laws.blend import blend_weights
from models.mixture_laws.boosted_trees import BoostedTrees
from models.mixture_laws.effective_data import EffectiveData
from models.mixture_laws.error_of_prediction import ErrorOfPrediction, noise_between_seeds
from models.mixture_laws.evidence import doubts, evidence, sentence
from models.mixture_laws.exponential import Exponential
from models.mixture_laws.folds import distinct_mixtures, interleaved_folds, outward_fold
from models.mixture_laws.gaussian_process import GaussianProcess
from models.mixture_laws.law import FittedMixtureLaw, MixtureLaw, MixtureRuns
from models.mixture_laws.linear import Linear
from models.mixture_laws.surface import FittedSurfaces, Surface, SurfaceLaw, losses_of, out_of_fold

MANY_MIXTURES = 100  # from here on, a loss has evidence enough of its own
LOSSES_AS_EVIDENCE = 12  # besides the target's, with fewer mixtures than that


class Auto(MixtureLaw):
    """L_i(r) = sum_k w_ik L_ik(r) over the laws `effective-data`, `gp`, `exp`, `linear` and `lightgbm`.

    Source: stacking (Wolpert 1992; Breiman 1996), with transfer as its aim. Every law predicts runs held out at random and, in extrapolation, the
    third of the mixtures nearest to the corners from the others; weights minimise the squared error of both together, so that a law that only
    interpolates pays twice at the corners. With few runs, the verdict of all losses on the laws is shared between them.
    Bounds: w >= 0, sum_k w_ik = 1. Initialisation: each law's own.
    Identifiability: laws that predict the same share their weight; the weight is of the prediction, not the probability that the law is true.
    """

    name = "auto"

    def __init__(self, laws: Sequence[SurfaceLaw] | None = None) -> None:
        self.laws = tuple(laws or (EffectiveData(), GaussianProcess(), Exponential(), Linear(), BoostedTrees()))

    def fit(self, runs: MixtureRuns, target_t: Array) -> FittedMixtureLaw:
        few = len(np.unique(distinct_mixtures(np.asarray(runs.weights_nd, dtype=float)))) < MANY_MIXTURES
        asked = Asked.of(runs, target_t, others=LOSSES_AS_EVIDENCE if few else 0)
        trials = [Trial.of(law, asked) for law in self.laws]
        losses_nt = asked.runs.losses_nt
        scales_t = np.maximum(losses_nt.std(axis=0), 1e-12 * np.abs(losses_nt).max(axis=0))
        errors_knt = np.stack([trial.errors(losses_nt) / scales_t for trial in trials])
        weights_kt = blend_weights(errors_knt, len(losses_nt))
        return FittedAuto(asked, trials, weights_kt)


@dataclass(frozen=True)
class Trial:
    """One law, fitted to all runs, and what it said about runs that it had not seen."""

    law: str
    surfaces: tuple[Surface, ...]
    interpolated_nt: Array
    extrapolated_nt: Array  # NaN for runs that were not held out

    @classmethod
    def of(cls, law: SurfaceLaw, asked: Asked) -> "Trial":
        surfaces = tuple(law.surfaces(asked.runs))
        interpolated_nt = out_of_fold(surfaces, asked.runs, interleaved_folds(asked.runs.weights_nd))
        return cls(law.name, surfaces, interpolated_nt, out_of_fold(surfaces, asked.runs, [outward_fold(asked.runs.weights_nd)]))

    def of_losses(self, which: Array) -> "Trial":
        return Trial(self.law, tuple(self.surfaces[t] for t in which), self.interpolated_nt[:, which], self.extrapolated_nt[:, which])

    def errors(self, losses_nt: Array) -> Array:
        """(n + held-out corners, t)"""
        corner_n = ~np.isnan(self.extrapolated_nt[:, 0])
        return np.concatenate([self.interpolated_nt - losses_nt, (self.extrapolated_nt - losses_nt)[corner_n]])


@dataclass(frozen=True)
class Blend(Surface):
    """A weighted mean of surfaces."""

    surfaces: tuple[Surface, ...]
    weights_k: Array

    def predict(self, weights_md: Array) -> Array:
        return losses_of(self.surfaces, weights_md) @ self.weights_k

    def refitted(self, weights_nd: Array, loss_n: Array) -> Surface:
        return Blend(tuple(surface.refitted(weights_nd, loss_n) for surface in self.surfaces), self.weights_k)


class FittedAuto(FittedSurfaces):
    """`candidates` has the evidence for each law, and under `auto` that for all together."""

    def __init__(self, asked: Asked, trials: list[Trial], weights_kt: Array) -> None:
        """Keeps the losses of the target; the others have said what they know of the laws."""
        targets = np.flatnonzero(asked.target_t)
        weights_kt = weights_kt[:, targets]
        trials = [trial.of_losses(targets) for trial in trials]
        together = blended(trials, weights_kt)
        super().__init__(asked.without_others, together.surfaces)
        self.interpolated_nt = together.interpolated_nt
        runs, target_t = self.asked.runs, self.asked.target_t
        importance_t = np.abs(target_t) * runs.losses_nt.std(axis=0)
        heard = [*(weights_kt @ importance_t / importance_t.sum()), 1.0]
        measured_n = runs.losses_nt @ target_t
        noise = noise_between_seeds(runs.weights_nd, measured_n)
        found = {
            trial.law: evidence(measured_n, trial.interpolated_nt @ target_t, trial.extrapolated_nt @ target_t, noise, float(weight))
            for trial, weight in zip([*trials, together], heard, strict=True)
        }
        self.candidates = found
        self.sentence = sentence({trial.law: found[trial.law] for trial in trials}, len(measured_n))
        self.warnings += doubts(found[together.law])

    @cached_property
    def error(self) -> ErrorOfPrediction:
        """From the predictions that the weights were found by: each free weight has taken a degree of freedom from their errors."""
        return self.error_from(self.interpolated_nt, free_parameters=len(self.candidates) - 2)  # laws, without `auto`; weights sum to one


def blended(trials: list[Trial], weights_kt: Array) -> Trial:
    """What the laws say together."""
    by_loss = zip(*(trial.surfaces for trial in trials), strict=True)
    surfaces = tuple(Blend(surfaces, weights_k) for surfaces, weights_k in zip(by_loss, weights_kt.T, strict=True))
    interpolated_nt, extrapolated_nt = (
        np.einsum("knt,kt->nt", np.stack(said), weights_kt)
        for said in ([trial.interpolated_nt for trial in trials], [trial.extrapolated_nt for trial in trials])
    )
    return Trial(Auto.name, surfaces, interpolated_nt, extrapolated_nt)
