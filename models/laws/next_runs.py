"""What would make us surer: how much further runs would narrow the difference between the first two mixtures at the target, and what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from models.laws.extrapolation import Extrapolation, row_weights
from models.laws.law import Array
from models.laws.noise import Runs


@dataclass(frozen=True)
class Option:
    """Further runs of two mixtures."""

    words: str
    runs: Runs
    train_flops: float
    difference_sd: float  # standard deviation of the difference in log-loss at the target, with these runs
    chance_to_tell: float  # that the difference, once these runs are in, is beyond doubt at the confidence asked


def options(fitted: Extrapolation, difference_b: Array, first: int, second: int, num_params: float, tokens: float, confidence: float) -> list[Option]:
    """Designs that would tell more, cheapest first. `difference_b`: draws of log L_first - log L_second at the target, as they stand.

    The law is linearised at its minimum: runs add information whatever their outcome, which gives the spread s' of the difference with them, from the
    present s. The outcome is not known yet: the estimate will move by a normal of variance s^2 - s'^2, which gives the chance that it ends beyond
    z s' (Raiffa and Schlaifer 1961, preposterior analysis).
    """
    low, middle, high = np.quantile(difference_b, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
    sd_now = (high - low) / 2 / norm.ppf((1 + confidence) / 2)
    linear_now = _difference_sd(fitted, fitted.runs, first, second, num_params, tokens)
    found = []
    for words, further in _designs(fitted.runs, first, second):
        sd = sd_now * _difference_sd(fitted, fitted.runs.with_runs(further), first, second, num_params, tokens) / linear_now
        moves = max(sd_now**2 - sd**2, 1e-300) ** 0.5
        limit = norm.ppf(confidence) * sd
        chance = norm.cdf((-limit - middle) / moves) + norm.sf((limit - middle) / moves)
        found.append(Option(words, further, float((6 * further.num_params * further.tokens).sum()), float(sd), float(chance)))
    return sorted(found, key=lambda option: option.train_flops)


def in_words(found: Sequence[Option], first: str, second: str, spent_flops: float, confidence: float) -> str:
    """Recommends the cheapest design that tells the two apart as likely as not, else the likeliest; with its cost and its chance."""
    option = next((option for option in found if option.chance_to_tell >= 0.5), max(found, key=lambda option: option.chance_to_tell))
    half_width = norm.ppf((1 + confidence) / 2) * option.difference_sd
    words = (
        f"To tell {first} from {second}: {option.words}, {len(option.runs.loss)} runs for the two, {option.train_flops:.2g} FLOPs "
        f"({option.train_flops / spent_flops:.2g} times what all runs so far took). Their difference would then be known to ±{half_width:.1%} of the "
        f"loss, and the chance that this tells them apart is about {option.chance_to_tell:.0%}."
    )
    return words if option.chance_to_tell >= 0.5 else words + " Nothing that was considered is likelier to: the two may be too alike to matter."


def _designs(runs: Runs, first: int, second: int) -> Iterator[tuple[str, Runs]]:
    """Further runs of the two mixtures: more seeds, more tokens, larger sizes. Scaled by the ladder's own steps, or by three."""
    pair = runs.where(np.isin(runs.mixture, [first, second]))
    _, once = np.unique(pair.group, return_index=True)
    cells = pair.where(once)
    seeds = len(np.unique(pair.seed))
    yield f"{seeds} more seed{'s' if seeds > 1 else ''} at every size and budget", _repeated(cells, seeds, after=pair.seed.max() + 1)
    ratio = cells.tokens / cells.num_params
    longest = cells.where(np.isclose(ratio, ratio.max(), rtol=0.05))
    yield "three times the largest token budget at every size", _repeated(_scaled(longest, 1, 3, runs.cell.max() + 1), seeds, after=0)
    sizes = np.unique(runs.num_params)
    step = float(sizes[-1] / sizes[-2]) if len(sizes) > 1 else 3.0
    largest = cells.where(cells.num_params == cells.num_params.max())
    for power, words in ((1, "one further size"), (2, "two further sizes")):
        scaled = [_scaled(largest, step**k, step**k, runs.cell.max() + 1 + 10_000 * k) for k in range(1, power + 1)]
        reach = " and ".join(f"{step**k * sizes[-1]:.2g}" for k in range(1, power + 1))
        yield f"{words}, of {reach} parameters, at the same tokens per parameter", _repeated(scaled[0].with_runs(*scaled[1:]), seeds, after=0)


def _scaled(cells: Runs, size_factor: float, token_factor: float, first_cell: int) -> Runs:
    """The same cells at other scales, numbered from `first_cell` on."""
    return Runs(cells.mixture, cells.cell + first_cell, cells.seed, cells.num_params * size_factor, cells.tokens * token_factor, cells.loss)


def _repeated(cells: Runs, seeds: int, after: int) -> Runs:
    """Each of the cells with `seeds` seeds, numbered from `after`."""
    repeated = cells.where(np.repeat(np.arange(len(cells.loss)), seeds))
    return Runs(
        repeated.mixture, repeated.cell, after + np.tile(np.arange(seeds), len(cells.loss)), repeated.num_params, repeated.tokens, repeated.loss
    )


def _difference_sd(fitted: Extrapolation, runs: Runs, first: int, second: int, num_params: float, tokens: float) -> float:
    """The spread of log L_first - log L_second at a scale, given that `runs` are known: linear, and without noise that both mixtures share."""
    problem, u = fitted.fitted.problem, fitted.fitted.u
    values = problem.coordinates.values(u)
    slopes = problem.coordinates.slopes(u, values)

    def jacobian(inputs: dict[str, Array]) -> Array:
        return fitted.law.log_prediction_and_jacobian(values, inputs)[1] * slopes

    own_seed = fitted.seed_variance.value * (1 - fitted.seed_variance.common_share)
    own_misfit = fitted.misfit_variance.value * (1 - fitted.misfit_variance.common_share)
    rows = jacobian(runs.inputs)
    information = (rows.T * row_weights(runs, own_seed, own_misfit)) @ rows + np.diag(problem.prior_precision)
    at_target = jacobian({"N": np.full(2, num_params), "D": np.full(2, tokens), "mixture": np.array([first, second])})
    direction = at_target[0] - at_target[1]
    return float((direction @ np.linalg.solve(information, direction) + 2 * own_misfit) ** 0.5)
