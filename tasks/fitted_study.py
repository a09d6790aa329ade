"""A study's runs that may enter a law, and the law fitted to them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.laws.extrapolation import Extrapolation, extrapolation
from models.laws.noise import Runs
from models.verdict import RefusedRun
from tasks.run_gate import AdmittedRun, through_gate
from tasks.study import Study

FEWEST_RUNS, FEWEST_CELLS = 3, 2  # of a mixture; with fewer nothing but the other mixtures would speak for it


@dataclass(frozen=True)
class FittedStudy:
    study: Study
    mixtures: list[str]  # that were fitted, sorted: draws, and so the verdict, don't depend on the order in params.yaml
    used: list[AdmittedRun]  # their runs
    admitted: list[AdmittedRun]  # all that passed the gate, of mixtures too that have too few for a law
    refused_mixtures: dict[str, str]  # why
    refused_runs: list[RefusedRun]
    weights_by_domain: dict[str, float]  # of the loss
    heldout_domains: list[str]  # evaluated, with weight or without
    fitted: Extrapolation | None  # its mixtures 0, 1, ... are `mixtures`; None when there are none

    @property
    def runs_by_mixture(self) -> Counter[str]:
        return Counter(run.result.mixture for run in self.used)


def fitted_study(study: Study) -> FittedStudy:
    """Reads, sifts and fits.

    Raises:
        StudyError: when the runs or evaluations of a mixture are not there, or nothing was evaluated.
    """
    gate = through_gate(study)
    admitted = {mixture: [run for run in gate.admitted if run.result.mixture == mixture] for mixture in study.mixtures}
    refused = {mixture: reason for mixture, runs in admitted.items() if (reason := too_few(runs, len(study.ladder.runs())))}
    mixtures = sorted(study.mixtures.keys() - refused)
    used = [run for mixture in mixtures for run in admitted[mixture]]
    return FittedStudy(
        study=study,
        mixtures=mixtures,
        used=used,
        admitted=gate.admitted,
        refused_mixtures=refused,
        refused_runs=gate.refused,
        weights_by_domain=gate.weights_by_domain,
        heldout_domains=sorted({domain for run in gate.admitted for domain in run.bits_per_byte}),
        fitted=extrapolation(as_arrays(used, mixtures), study.target.bootstraps, study.seed) if used else None,
    )


def too_few(runs: Sequence[AdmittedRun], asked: int) -> str | None:
    """Why a mixture's runs are not enough for a law, or None."""
    cells = {(run.result.size, run.result.budget_tokens) for run in runs}
    if len(runs) >= FEWEST_RUNS and len(cells) >= FEWEST_CELLS:
        return None
    return (
        f"{len(runs)} of its {asked} runs are usable, at {len(cells)} scales; a law needs {FEWEST_RUNS} runs at {FEWEST_CELLS} scales or more"
        " (see the refused runs)."
    )


def as_arrays(used: Sequence[AdmittedRun], mixtures: Sequence[str]) -> Runs:
    """N counts all parameters, embeddings once, as budgets and target do; D counts the tokens that were read."""
    results = [run.result for run in used]
    scales = sorted({(result.num_params, result.budget_tokens) for result in results})
    return Runs(
        mixture=np.array([mixtures.index(result.mixture) for result in results]),
        cell=np.array([scales.index((result.num_params, result.budget_tokens)) for result in results]),
        seed=np.array([result.seed for result in results]),
        num_params=np.array([float(result.num_params) for result in results]),
        tokens=np.array([float(result.tokens_seen) for result in results]),
        loss=np.array([run.loss for run in used]),
    )
