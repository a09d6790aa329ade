"""Which mixture wins at the target, how sure that is, and how such decisions did on the largest size when it was left out."""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from math import log

import numpy as np

from models.frozen import Frozen

LAW, SINGLE_SCALE, COMBINATION = "law", "single-scale", "combination"
CLEARLY_BETTER = log(20)  # nats


class Interval(Frozen):
    value: float
    low: float
    high: float


class MixtureVerdict(Frozen):
    """One mixture at the target scale. `predicted_loss` is None when no law could be fitted; `refused` then says why."""

    mixture: str
    predicted_loss: Interval | None
    probability_best: float | None
    law: str | None
    runs_used: int
    refused: str | None = None


class BackTestRow(Frozen):
    """One mixture at the size left out, as the mean over that size's token budgets and seeds."""

    mixture: str
    predicted_loss: Interval
    actual_loss: float


class MethodTest(Frozen):
    """What one method predicted for the size left out. None is what one mixture, or for a correlation two, can't say."""

    rows: tuple[BackTestRow, ...]
    decision_accuracy: float | None  # share of pairs of mixtures ranked as the left-out size ranks them
    spearman: float | None
    regret: float | None  # loss at the left-out size of the mixture that the rest would choose, minus the best one's
    coverage: float  # share of actual losses inside their interval
    difference_coverage: float | None  # share of pairs whose actual difference is inside its interval
    mean_absolute_error: float
    log_score: float | None  # log density (nats) of the actual differences between mixtures; higher is better


class BackTest(Frozen):
    """One size left out, predicted from the sizes below it."""

    left_out: str  # e.g. "size 300k"
    methods: dict[str, MethodTest]


class MethodVerdict(Frozen):
    """What one method alone would say at the target."""

    first: str  # the mixture with the lowest predicted loss
    predicted_loss: dict[str, Interval]
    probability_best: dict[str, float]
    expected_regret: float  # of choosing the first


class MixtureBackTest(Frozen):
    """Mixtures left out, predicted by a law of mixtures from the losses of the others, all at the largest size that they share."""

    law: str | None  # None when none could be fitted; `why_not` then says why
    scale: str | None  # in words
    rows: tuple[BackTestRow, ...] = ()
    decision_accuracy: float | None = None
    spearman: float | None = None
    regret: float | None = None
    coverage: float | None = None
    why_not: str | None = None


class RefusedRun(Frozen):
    run: str
    mixture: str
    reason: str


class Verdict(Frozen):
    """The answer of a study."""

    loss: str  # in words: what is compared
    target_num_params: float
    target_tokens: float
    confidence: float
    rule: str  # when a winner is named, in words
    winner: str | None  # None: cannot tell
    sentence: str  # the verdict in one sentence
    mixtures: tuple[MixtureVerdict, ...]  # best first
    probability_better: dict[str, dict[str, float]]  # [a][b]: that a's loss at the target is below b's
    method: str | None  # which of the methods speaks: LAW, SINGLE_SCALE or COMBINATION; None when nothing could be fitted
    method_reason: str | None  # in a sentence
    methods: dict[str, MethodVerdict]  # all that were possible
    back_tests: tuple[BackTest, ...]  # the largest size left out, then the two largest
    mixture_back_test: MixtureBackTest | None
    expected_regret: float | None  # of choosing the first, in the loss' unit
    noise_floor: float | None  # standard deviation of a run's loss between seeds, in the loss' unit
    signal_to_noise: float | None  # spread of the mixtures at the largest scale that all have, over noise of their seeds' mean
    to_tell: str | None  # what would make us surer
    refused_runs: tuple[RefusedRun, ...]
    warnings: tuple[str, ...]

    @property
    def back_test(self) -> MethodTest | None:
        """Of the method that speaks, on the largest size."""
        return self.back_tests[0].methods.get(self.method) if self.back_tests and self.method else None


class Ranking(Frozen):
    """What draws of the mixtures' losses say, best (lowest predicted loss) first."""

    predicted_loss: dict[str, Interval]
    probability_best: dict[str, float]
    probability_better: dict[str, dict[str, float]]
    expected_regret: float  # of choosing the first
    confidence: float

    @property
    def first(self) -> str:
        return next(iter(self.predicted_loss))

    @property
    def is_sure(self) -> bool:
        return len(self.predicted_loss) > 1 and self.probability_best[self.first] >= self.confidence

    @property
    def contenders(self) -> tuple[str, ...]:
        """The fewest mixtures of which one is the best with `confidence`, likeliest first."""
        likeliest = sorted(self.probability_best, key=lambda name: -self.probability_best[name])
        sums = accumulate(self.probability_best[name] for name in likeliest)
        enough = next(count for count, total in enumerate(sums, start=1) if total >= self.confidence - 1e-12)
        return tuple(likeliest[:enough])


def speaker(tests: Sequence[BackTest], methods: Collection[str]) -> tuple[str, str]:
    """Which of the methods speaks, and why.

    The combination is the default: it is never far from the better of the two (a factor 2 in each difference), and in published comparisons laws did
    not decide better than a single scale (arXiv 2504.11393). One of the two speaks alone when the back-tests prefer it clearly to the combination, by
    a likelihood ratio of 20, "strong evidence" (Kass and Raftery 1995); that takes five independent differences at least.
    """
    if COMBINATION not in methods:
        return LAW, "The law speaks: no size has all mixtures at the same token budgets, which a ranking at a single scale would need."
    scores = {method: [test.methods[method].log_score for test in tests if method in test.methods] for method in (COMBINATION, LAW, SINGLE_SCALE)}
    totals = {method: sum(score for score in scored if score is not None) for method, scored in scores.items()}
    if not any(score is not None for score in scores[COMBINATION]):
        return COMBINATION, "The combination of law and single scale speaks: no back-test compares them."
    sizes = " and ".join(test.left_out for test in tests)
    evidence = ", ".join(f"{method} {total:.1f}" for method, total in totals.items())
    best = max(totals, key=lambda method: totals[method])
    if totals[best] - totals[COMBINATION] < CLEARLY_BETTER:
        return COMBINATION, (
            f"The combination of law and single scale speaks: neither alone predicted the differences between mixtures at {sizes} clearly better "
            f"(log scores in nats: {evidence}; clearly is {CLEARLY_BETTER:.0f} more)."
        )
    return best, f"The {best} speaks: it predicted the differences between mixtures at {sizes} clearly best (log scores in nats: {evidence})."


def interval(draws: np.ndarray, confidence: float) -> Interval:
    """The median of draws (b), and their central interval."""
    low, value, high = np.quantile(draws, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
    return Interval(value=float(value), low=float(low), high=float(high))


def rank(draws_by_mixture: Mapping[str, np.ndarray], confidence: float) -> Ranking:
    """Ranks mixtures by draws (b) of their losses. Draw i of all mixtures belongs together: what they share cancels in comparisons."""
    intervals = {name: interval(draws, confidence) for name, draws in draws_by_mixture.items()}
    names = sorted(intervals, key=lambda name: (intervals[name].value, name))
    draws_bm = np.stack([draws_by_mixture[name] for name in names], axis=1)
    is_best = draws_bm == draws_bm.min(axis=1, keepdims=True)
    best = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    better = (draws_bm[:, :, None] < draws_bm[:, None, :]).mean(0) + 0.5 * (draws_bm[:, :, None] == draws_bm[:, None, :]).mean(0)
    return Ranking(
        predicted_loss={name: intervals[name] for name in names},
        probability_best={name: float(best[i]) for i, name in enumerate(names)},
        probability_better={a: {b: float(better[i, j]) for j, b in enumerate(names) if a != b} for i, a in enumerate(names)},
        expected_regret=float((draws_bm[:, 0] - draws_bm.min(axis=1)).mean()),
        confidence=confidence,
    )


def rule(confidence: float) -> str:
    return f"A winner is named when it is the best of all with probability {confidence:g} or more and a back-test could be made; else we cannot tell."


def sentence(ranking: Ranking, target: str, unit: str, back_tested: bool, noise_floor: float | None) -> str:
    """The verdict in one sentence, for a person who decides about data. `target` and `unit` are in words."""
    first = ranking.first
    predicted = ranking.predicted_loss[first]
    within = f"{predicted.value:.3f} {unit}, {ranking.confidence:.0%} interval {predicted.low:.3f} to {predicted.high:.3f}"
    if len(ranking.predicted_loss) == 1:
        return f"Only {first} could be judged, so there is nothing to compare it with: its predicted loss at {target} is {within}."
    best = _probability(ranking.probability_best[first])
    if ranking.is_sure and back_tested:
        return f"At {target}, {first} wins: it is the best of {len(ranking.predicted_loss)} mixtures {best} (predicted loss {within})."
    if ranking.is_sure:
        return f"Cannot tell: {first} looks best at {target} ({best}), but with one size nothing shows that such predictions hold at a larger one."
    contenders = [f"{name} ({_probability(ranking.probability_best[name])})" for name in ranking.contenders]
    return f"Cannot tell which mixture is best at {target}: it may be {' or '.join(contenders)}{_difference(ranking, unit, noise_floor)}."


def _difference(ranking: Ranking, unit: str, noise_floor: float | None) -> str:
    first, second = list(ranking.predicted_loss)[:2]
    difference = ranking.predicted_loss[second].value - ranking.predicted_loss[first].value
    words = f"; {first} is predicted {difference:.3f} {unit} below {second}"
    if noise_floor is not None and difference < noise_floor:
        words += f", less than one run's noise between seeds ({noise_floor:.3f})"
    return words


def _probability(value: float) -> str:
    return "with probability above 0.99" if value > 0.99 else f"with probability {value:.2f}"
