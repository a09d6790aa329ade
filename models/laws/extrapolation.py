"""From a study's runs to draws of the loss of every mixture at any scale.

The draws are of a posterior by "randomise, then optimise" (Bardsley et al. 2014; ensemble smoothers know it as randomised maximum likelihood): each
draw perturbs the losses by noise between seeds and misfit of the law, perturbs the priors' means by the priors, and refits. It is exact where the law
is linear and noise normal. What the runs decide is as narrow as their noise allows, what they don't is as wide as its prior. A bootstrap over two
seeds could not do this: it knows too few residuals, and nothing of directions that no run explores.

Shapes: n runs, b draws, p parameters, k scales, m mixtures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from models.laws.core import Fit, Problem, fit, refits
from models.laws.law import Array
from models.laws.noise import MISFIT_PRIOR, Runs, Variance, deviation_variance, misfit_variance, seed_variance
from models.laws.pooled import DEVIATIONS, PooledChinchilla

HUBER_STANDARD_DEVIATIONS = 3.0  # a run further off than this from the law counts as if it were this far


@dataclass(frozen=True)
class Extrapolation:
    """A pooled law fitted to a study's runs, with draws of its parameters."""

    runs: Runs
    fitted: Fit
    draws_bp: Array
    seed_variance: Variance
    misfit_variance: Variance
    seed_variances_b: Array
    misfit_variances_b: Array
    seed: int

    @property
    def law(self) -> PooledChinchilla:
        assert isinstance(self.fitted.problem.law, PooledChinchilla)
        return self.fitted.problem.law

    def draws_at(self, num_params_k: Array, tokens_k: Array, seeds: int | None = None, place: int = 0) -> Array:
        """(b, k, m) draws of the loss at k scales: of its expectation over seeds, or of the mean of `seeds` new runs (per mixture).
        The law's misfit there is drawn anew, once for all k; `place` tells one such drawing from another."""
        num_mixtures = self.runs.num_mixtures
        inputs = {
            "N": np.repeat(num_params_k, num_mixtures),
            "D": np.repeat(tokens_k, num_mixtures),
            "mixture": np.tile(np.arange(num_mixtures), len(num_params_k)),
        }
        log_loss = np.stack([self.law.log_prediction(values, inputs) for values in self.draws_bp]).reshape(len(self.draws_bp), -1, num_mixtures)
        random = np.random.default_rng([self.seed, 1, place])
        log_loss += noise(random, self.misfit_variances_b, self.misfit_variance.common_share, num_mixtures)
        if seeds:
            log_loss += noise(random, self.seed_variances_b / seeds, self.seed_variance.common_share, num_mixtures)
        return np.exp(log_loss)


def extrapolation(runs: Runs, draws: int, seed: int) -> Extrapolation:
    """Fits the pooled law to `runs` and draws from what they leave open. The order of runs doesn't matter; `seed` decides the draws."""
    runs = runs.where(np.lexsort((runs.seed, runs.cell, runs.mixture)))
    seed_noise, deviation = seed_variance(runs), deviation_variance(runs)
    misfit = Variance(MISFIT_PRIOR[0] ** 2, MISFIT_PRIOR[1], 0.0)
    for _ in range(2):  # the misfit is estimated from a fit that is weighted by it
        fitted = fit(_problem(runs, seed_noise, misfit, deviation))
        misfit = misfit_variance(runs, fitted.problem.residuals(fitted.u)[0], _effective_parameters(fitted), seed_noise)
    fitted = fit(_problem(runs, seed_noise, misfit, deviation))
    random = np.random.default_rng([seed, 0])
    seed_variances, misfit_variances, deviations = (variance.draws(random, draws) for variance in (seed_noise, misfit, deviation))
    perturbed = _perturbed(fitted, runs, seed_noise, misfit, np.stack([seed_variances, misfit_variances, deviations], axis=1), random)
    return Extrapolation(runs, fitted, refits(fitted, perturbed), seed_noise, misfit, seed_variances, misfit_variances, seed)


def _problem(runs: Runs, seed: Variance, misfit: Variance, deviation: Variance) -> Problem:
    num_params_0, tokens_0, loss_0 = (float(np.exp(np.log(x).mean())) for x in (runs.num_params, runs.tokens, runs.loss))
    law = PooledChinchilla(runs.num_mixtures, num_params_0, tokens_0, loss_0, deviation.value**0.5)
    weights = row_weights(runs, seed.value, misfit.value)
    problem = Problem.of(law, runs.inputs, runs.loss, weights, delta=HUBER_STANDARD_DEVIATIONS * float(weights.max()) ** -0.5)
    return replace(problem, prior_precision=problem.prior_precision * np.where(_own(problem, runs), 1.0, design_effect(runs, seed, misfit)))


def _own(problem: Problem, runs: Runs) -> Array:
    """(p) which parameters are of one mixture, not of all."""
    count = len(problem.prior_precision)
    return np.arange(count) >= count - len(DEVIATIONS) * runs.num_mixtures


def design_effect(runs: Runs, seed: Variance, misfit: Variance) -> float:
    """How many times less the runs tell about what all mixtures share than if their noise were independent: 1 + (m - 1) times its correlation
    between mixtures (Kish 1965). Runs are weighted as if it were, so the priors of what is shared weigh as much more."""
    seeds = float(runs.seeds_in_group.mean())
    common = seed.value * seed.common_share / seeds + misfit.value * misfit.common_share
    correlation = common / (seed.value / seeds + misfit.value)
    mixtures_per_cell = len(np.unique(runs.group)) / len(np.unique(runs.cell))
    return 1 + (mixtures_per_cell - 1) * correlation


def row_weights(runs: Runs, seed_variance: float, misfit_variance: float) -> Array:
    """(n) so that the runs of one group together weigh what their mean is worth: its seeds' noise falls with their number, the misfit doesn't."""
    return 1 / (seed_variance + runs.seeds_in_group * misfit_variance)


def _effective_parameters(fitted: Fit) -> float:
    """How many parameters the data decide, of those that priors hold: the trace of the hat matrix."""
    hessian = fitted.problem.hessian(fitted.u)
    return float(np.trace(np.linalg.solve(hessian, hessian - np.diag(fitted.problem.prior_precision))))


def _perturbed(fitted: Fit, runs: Runs, seed: Variance, misfit: Variance, variances_b3: Array, random: np.random.Generator) -> Iterator[Problem]:
    """The fitted problem with losses and priors' means perturbed, once per row of variances (of seeds, misfit and mixtures' deviations)."""
    problem = fitted.problem
    own, effect = _own(problem, runs), design_effect(runs, seed, misfit)
    run_of_seed = np.unique(np.stack([runs.cell, runs.seed]), axis=1, return_inverse=True)[1].ravel()
    for of_seeds, of_misfit, of_deviations in variances_b3:
        between_seeds = _paired_noise(random, of_seeds, seed.common_share, run_of_seed, np.arange(len(run_of_seed)))
        between_cells = _paired_noise(random, of_misfit, misfit.common_share, runs.cell, runs.group)
        precision = np.where(own, 1 / of_deviations, problem.prior_precision)
        yield replace(
            problem,
            observed=problem.observed + between_seeds + between_cells,
            weights=row_weights(runs, of_seeds, of_misfit),
            prior_mean=problem.prior_mean + random.standard_normal(len(own)) * (precision / np.where(own, 1, effect)) ** -0.5,
            prior_precision=precision,
        )


def _paired_noise(random: np.random.Generator, variance: float, common_share: float, shared_by: Array, own_of: Array) -> Array:
    """(n) noise of which a share is the same for all rows with equal `shared_by`, the rest for those with equal `own_of`."""
    common, own = random.standard_normal(shared_by.max() + 1)[shared_by], random.standard_normal(own_of.max() + 1)[own_of]
    return variance**0.5 * (common_share**0.5 * common + (1 - common_share) ** 0.5 * own)


def noise(random: np.random.Generator, variances_b: Array, common_share: float, num_mixtures: int) -> Array:
    """(b, 1, m) noise of which a share is the same for all mixtures."""
    common, own = random.standard_normal((len(variances_b), 1, 1)), random.standard_normal((len(variances_b), 1, num_mixtures))
    return variances_b[:, None, None] ** 0.5 * (common_share**0.5 * common + (1 - common_share) ** 0.5 * own)
