"""Which mixture wins at the target, how sure that is, and how such decisions did on the largest size when it was left out."""

from models.frozen import Frozen


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
    mixture: str
    predicted_loss: Interval
    actual_loss: float


class BackTest(Frozen):
    """The largest size left out, predicted from the rest."""

    left_out: str  # e.g. "size 300k"
    rows: tuple[BackTestRow, ...]
    decision_accuracy: float | None  # share of pairs of mixtures ranked as the left-out size ranks them
    spearman: float | None
    coverage: float | None  # share of actual losses inside their interval
    mean_absolute_error: float
    regret: float | None  # loss at the left-out size of the mixture that the rest would choose, minus the best one's


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
    winner: str | None  # None: cannot tell
    sentence: str  # the verdict in one sentence
    mixtures: tuple[MixtureVerdict, ...]  # best first
    probability_better: dict[str, dict[str, float]]  # [a][b]: that a's loss at the target is below b's
    back_test: BackTest | None
    expected_regret: float | None  # of choosing the first, in the loss' unit
    to_tell: str | None  # what would make us surer
    refused_runs: tuple[RefusedRun, ...]
    warnings: tuple[str, ...]
