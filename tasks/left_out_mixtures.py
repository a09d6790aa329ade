"""The back-test of the study's mixtures: some are left out and predicted from the others of the same recipe, which differ in their weights alone."""

from collections import Counter

import numpy as np

from models.laws.law import Array
from models.mixture_laws.auto import Auto
from models.mixture_laws.back_test import back_test, fewest_mixtures
from models.verdict import MixtureBackTest
from tasks.fitted_study import FittedStudy
from tasks.run_gate import AdmittedRun


def mixtures_left_out(it: FittedStudy, noise_sd: float | None) -> MixtureBackTest | None:
    """At the largest scale of the recipe with the most mixtures. `noise_sd` is of one run's loss between seeds. None for one mixture."""
    recipe_of = {run.result.mixture: run.result.recipe for run in it.used}
    if len(recipe_of) < 2:
        return None
    recipe, count = max(Counter(recipe_of.values()).items(), key=lambda item: (item[1], item[0]))
    runs = [run for run in it.used if run.result.recipe == recipe]
    domains = sorted({domain for run in runs for domain, weight in run.result.weights_by_domain.items() if weight > 0})
    needed = fewest_mixtures(len(domains))
    if count < needed:
        return _none(
            f"No mixtures were left out: {count} share a recipe ({recipe}) and differ in their weights alone, and to test a mixture law of "
            f"{len(domains)} domains takes {needed}."
        )
    scale = max(_scale(run) for run in runs)
    here = [run for run in runs if _scale(run) == scale]
    mixtures = sorted({run.result.mixture for run in here})
    if len(mixtures) < needed:
        return _none(f"No mixtures were left out: {len(mixtures)} of recipe {recipe} have runs at the largest scale, and {needed} are needed.")
    losses = {name: [run.loss for run in here if run.result.mixture == name] for name in mixtures}
    return back_test(
        Auto(),
        mixtures,
        np.stack([_weights(next(run for run in here if run.result.mixture == name), domains) for name in mixtures]),
        np.array([np.mean(losses[name]) for name in mixtures]),
        np.array([(noise_sd or 0.0) / len(losses[name]) ** 0.5 for name in mixtures]),
        f"{here[0].result.size}, {here[0].result.budget_tokens} tokens",
        it.study.target.confidence,
        it.study.seed,
    )


def _none(why: str) -> MixtureBackTest:
    return MixtureBackTest(law=None, scale=None, why_not=why)


def _scale(run: AdmittedRun) -> tuple[int, int]:
    return run.result.num_params, run.result.budget_tokens


def _weights(run: AdmittedRun, domains: list[str]) -> Array:
    return np.array([run.result.weights_by_domain.get(domain, 0.0) for domain in domains])
