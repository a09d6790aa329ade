"""The runs to train next, for a question and a law: what the runs know nothing about first, then what may beat the proposal or tells most.

Shapes: n runs, d domains, g groups of domains that the runs tell apart, m mixtures.
"""

from collections.abc import Iterator

import numpy as np

from models.laws.law import Array
from models.mixture_laws import next_runs
from models.mixture_laws.candidates import around, candidates
from models.mixture_laws.law import FittedMixtureLaw, MixtureRuns
from models.mixture_laws.proposal_record import NextRun, interval
from models.mixture_laws.question import Question, Setting
from models.mixture_laws.support import nearest_distances

DRAWS = 256
CANDIDATES = 600
NEIGHBOUR_STEPS = (0.5, 0.2, 0.05)  # share of tokens moved, of candidates around the proposal
NEAR_COPY = 0.25  # of the typical distance between runs
RUNS_PER_CHANGE = 4  # for each share or proportion that is new: three levels show a slope and its bend, the fourth tests it


def next_batch(question: Question, setting: Setting, runs: MixtureRuns, fitted: FittedMixtureLaw, best_g: Array) -> tuple[NextRun, ...]:
    """As many runs as are asked for; where no number is, as many as the changes of domains need."""
    needed = RUNS_PER_CHANGE * sum(max(len(group) - 1, 1) for group in setting.varied)
    count = question.next_count if question.next_count is not None else needed * question.changes.any
    best_d = setting.known.expand(best_g[None])[0]
    trying_md = next_runs.spread(setting.varied, best_d, setting.reference_d, setting.trainable, min(count, needed), question.seed)
    trying = (NextRun(weights=setting.named(weights_d), reason="change", predicted=None, batch_improvement=None) for weights_d in trying_md)
    batch = [*trying, *_telling(question, setting, runs, fitted, best_g, trying_md, count - len(trying_md))]
    if (flops := question.flops_per_run) is None:
        return tuple(batch)
    return tuple(run.model_copy(update={"flops": flops, "total_flops": flops * (place + 1)}) for place, run in enumerate(batch))


def _telling(
    question: Question, setting: Setting, runs: MixtureRuns, fitted: FittedMixtureLaw, best_g: Array, trying_md: Array, count: int
) -> Iterator[NextRun]:
    """Up to `count` runs that may beat the proposal or tell most about where the best mixture is."""
    if not count:
        return
    observed_ng = setting.known.collapse(runs.weights_nd)
    rng = np.random.default_rng(question.seed)
    near = [around(np.tile(best_g, (CANDIDATES // 6, 1)), step, setting.feasible, rng) for step in NEIGHBOUR_STEPS]
    anywhere_mg = candidates(setting.feasible, observed_ng, CANDIDATES // 2, rng)[len(observed_ng) :]
    pool_mg = np.concatenate([best_g[None], *near, anywhere_mg])
    value_m, draws_bm, weights_md = fitted.predict(pool_mg), fitted.draws(pool_mg, DRAWS, question.seed), setting.known.expand(pool_mg)
    noise_sd = float((runs.losses_nt @ question.target_t - fitted.predict(observed_ng)).std())
    apart = NEAR_COPY * float(np.median(nearest_distances(runs.weights_nd)))
    known_md = np.concatenate([runs.weights_nd, trying_md])
    for it in next_runs.choose(weights_md, question.sign * draws_bm, known_md, count, noise_sd, apart):
        yield NextRun(
            weights=setting.named(weights_md[it.candidate]),
            reason=it.reason,
            predicted=interval(value_m[it.candidate], draws_bm[:, it.candidate], question.confidence),
            batch_improvement=it.batch_improvement,
        )
