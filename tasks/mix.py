"""`assay mix`: fits a mixture law to tables of runs, and tests it on others."""

from dataclasses import dataclass

import numpy as np

from models import decisions
from models.frozen import Frozen, StudyError, nearest
from models.laws.law import Array
from models.mixture_laws.law import FittedMixtureLaw, MixtureLaw
from models.mixture_laws.registry import LAWS
from models.one_thread import on_one_thread
from tasks.mixture_runs import JoinedRuns, check_fittable, drawn, joined_runs
from tasks.mixture_tables import check_same_columns, read_keyed, read_mixtures
from tasks.mixture_target import MixtureTarget, mixture_target
from tasks.tables import Rows


@dataclass(frozen=True)
class MixRequest:
    """What `fit` and `propose` share. Tables are files or `mlflow:EXPERIMENT`."""

    mixtures: str
    losses: str
    on: str
    target: str
    law: str = "auto"
    runs: int | None = None  # drawn from those of the tables; None: all
    seed: int = 0
    test_mixtures: str | None = None
    test_losses: str | None = None
    higher_is_better: bool = False
    confidence: float = 0.9


class TestScores(Frozen):
    """Of predictions of runs that the law was not fitted to. None where all predictions, or all measured losses, are equal."""

    n: int
    spearman: float | None
    pearson: float | None
    pairwise_accuracy: float | None
    regret: float  # what the mixture that is predicted best measured worse than the best one
    mean_absolute_error: float  # large where the test runs are of another scale than those fitted to


class MixFit(Frozen):
    law: str
    candidates: dict[str, dict[str, float | None]]  # evidence by law, of a law that chooses or combines; empty for the others
    sentence: str  # which law speaks, and why
    target: str
    train_runs: int
    test: TestScores | None
    rows: Rows
    test_rows: Rows | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FittedRuns:
    """A law, and the runs it was fitted to and is tested on: what a plot needs besides the scores."""

    fitted: FittedMixtureLaw
    target: MixtureTarget
    train: JoinedRuns
    test: JoinedRuns | None

    def measured(self, joined: JoinedRuns) -> Array:
        """(n)"""
        return joined.runs.losses_nt @ self.target.vector(joined.runs.loss_names)


@on_one_thread
def fit_mixtures(request: MixRequest) -> tuple[MixFit, FittedRuns]:
    """Raises:
    StudyError: when tables don't match or can't be used, or the law can't be fitted.
    """
    target, train, test = read_runs(request)
    fitted = law_named(request.law).fit(train.runs, target.vector(train.runs.loss_names))
    it = FittedRuns(fitted, target, train, test)
    result = MixFit(
        law=request.law,
        candidates={name: dict(evidence) for name, evidence in fitted.candidates.items()},
        sentence=fitted.sentence,
        target=target.name,
        train_runs=len(train.keys),
        test=scores(it, test, request.higher_is_better) if test is not None else None,
        rows=train.rows,
        test_rows=test.rows if test is not None else None,
        warnings=warnings_of(fitted, train, test),
    )
    return result, it


def read_runs(request: MixRequest) -> tuple[MixtureTarget, JoinedRuns, JoinedRuns | None]:
    """The target, the runs to fit and those to test on."""
    if (request.test_mixtures is None) != (request.test_losses is None):
        raise StudyError("--test-mixtures and --test-losses go together: give both or none.")
    mixtures, losses = read_mixtures(request.mixtures, request.on), read_keyed(request.losses, request.on)
    target = mixture_target(request.target, losses.columns)
    train = joined_runs(mixtures, losses, request.on, target, request.higher_is_better)
    if request.runs is not None:
        train = drawn(train, request.runs, request.seed)
    check_fittable(train, target)
    if request.test_mixtures is None or request.test_losses is None:
        return target, train, None
    test_mixtures, test_losses = read_mixtures(request.test_mixtures, request.on), read_keyed(request.test_losses, request.on)
    check_same_columns(mixtures, test_mixtures)
    check_same_columns(losses, test_losses)
    test = joined_runs(test_mixtures, test_losses, request.on, target, request.higher_is_better)
    if len(test.keys) < 2:
        raise StudyError(f"{len(test.keys)} test runs can be used: a law is tested on two at least.")
    return target, train, test


def law_named(name: str) -> MixtureLaw:
    if name not in LAWS:
        raise StudyError(f"There is no mixture law '{name}'{nearest(name, LAWS)}: {', '.join(LAWS)}.")
    return LAWS[name]()


def scores(it: FittedRuns, test: JoinedRuns, higher_is_better: bool) -> TestScores:
    predicted, measured = it.fitted.predict(test.runs.weights_nd), it.measured(test)
    sign = -1.0 if higher_is_better else 1.0
    return TestScores(
        n=len(measured),
        spearman=decisions.spearman(predicted, measured),
        pearson=decisions.pearson(predicted, measured),
        pairwise_accuracy=decisions.decision_accuracy(predicted, measured),
        regret=decisions.regret(sign * predicted, sign * measured),
        mean_absolute_error=float(np.abs(predicted - measured).mean()),
    )


def warnings_of(fitted: FittedMixtureLaw, train: JoinedRuns, test: JoinedRuns | None) -> tuple[str, ...]:
    return fitted.warnings + train.warnings + (test.warnings if test is not None else ())
