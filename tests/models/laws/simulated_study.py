"""Studies with known truth, at the default design: 3 sizes x 2 budgets x 2 seeds per mixture."""

from dataclasses import dataclass

import numpy as np

from models.laws.noise import Runs

Array = np.ndarray


@dataclass(frozen=True)
class Truth:
    """A Chinchilla law per mixture: E, A-term and B-term are the losses at 1e5 parameters and 2e5 tokens."""

    E_m: Array
    A_m: Array
    B_m: Array
    alpha_m: Array
    beta_m: Array

    def loss(self, mixture: Array, num_params: Array | float, tokens: Array | float) -> Array:
        by_size = self.A_m[mixture] * (num_params / 1e5) ** -self.alpha_m[mixture]
        by_tokens = self.B_m[mixture] * (tokens / 2e5) ** -self.beta_m[mixture]
        return self.E_m[mixture] + by_size + by_tokens


def random_truth(random: np.random.Generator, mixtures: int, spread: float = 0.03, exponent_spread: float = 0.0) -> Truth:
    """Not drawn from the law's priors: uniform over what is plausible."""
    level = np.exp(spread * random.standard_normal(mixtures))
    E, A, B = random.uniform(0.4, 1.6), random.uniform(0.4, 1.2), random.uniform(0.5, 1.5)
    own = np.exp(spread * random.standard_normal((3, mixtures))) * level
    exponents = random.uniform(0.2, 0.55, size=(2, 1)) + exponent_spread * random.standard_normal((2, mixtures))
    return Truth(E * own[0], A * own[1], B * own[2], *exponents)


def simulated_runs(
    random: np.random.Generator, truth: Truth, sizes=(3.5e4, 1e5, 3e5), budgets=(1, 3), seeds=2, seed_sd=0.005, common_share=0.5, misfit_sd=0.002
) -> Runs:
    mixtures = len(truth.E_m)
    size, budget, seed, mixture = (
        x.ravel() for x in np.meshgrid(np.arange(len(sizes)), np.arange(len(budgets)), np.arange(seeds), np.arange(mixtures), indexing="ij")
    )
    num_params = np.array(sizes)[size]
    tokens = num_params * np.array(budgets, dtype=float)[budget]
    cell = size * len(budgets) + budget
    run = cell * seeds + seed
    between_seeds = common_share**0.5 * random.standard_normal(run.max() + 1)[run] + (1 - common_share) ** 0.5 * random.standard_normal(len(run))
    misfit = 0.7**0.5 * random.standard_normal(cell.max() + 1)[cell] + 0.3**0.5 * random.standard_normal((cell.max() + 1, mixtures))[cell, mixture]
    loss = truth.loss(mixture, num_params, tokens) * np.exp(seed_sd * between_seeds + misfit_sd * misfit)
    return Runs(mixture, cell, seed, num_params, tokens, loss)
