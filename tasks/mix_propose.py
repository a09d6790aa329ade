"""`assay mix propose`: the best mixture by a law of the runs there are, and the runs to train next."""

from dataclasses import dataclass, field

import numpy as np

from models.frozen import Frozen, StudyError
from models.mixture_laws.law import MixtureRuns
from models.mixture_laws.limits import Limits, Supply
from models.mixture_laws.proposal_record import Proposal
from models.mixture_laws.proposals import propose
from models.mixture_laws.question import Question
from models.mixture_laws.reuse import DomainChanges, reused
from models.one_thread import on_one_thread
from tasks.mix import FittedRuns, MixRequest, TestScores, law_named, read_runs, scores, warnings_of
from tasks.mixture_runs import JoinedRuns, check_fittable
from tasks.mixture_target import MixtureTarget
from tasks.tables import Rows
from tasks.token_supply import available_tokens


@dataclass(frozen=True)
class ProposeRequest:
    """What is proposed besides."""

    available: str | None = None
    target_tokens: float | None = None
    max_epochs: float | None = None
    min_share: dict[str, float] = field(default_factory=dict)
    max_share: dict[str, float] = field(default_factory=dict)
    max_kl: float | None = None
    changes: DomainChanges = field(default_factory=DomainChanges)
    next_count: int | None = None
    flops_per_run: float | None = None


class ReusedRuns(Frozen):
    kept: int
    set_aside: dict[str, str]  # key of a run: why it is not valid for the domains as they are now


class MixProposal(Proposal):
    law: str
    candidates: dict[str, dict[str, float | None]]
    sentence: str
    target: str
    train_runs: int
    test: TestScores | None
    rows: Rows
    test_rows: Rows | None
    reuse: ReusedRuns | None


@on_one_thread
def propose_mixture(request: MixRequest, asked: ProposeRequest) -> MixProposal:
    """Raises:
    StudyError: as `fit_mixtures`, and when no mixture is within the limits.
    """
    if asked.changes.any and request.test_mixtures is not None:
        raise StudyError("Test runs are of the domains as they were: leave out --test-mixtures, or --added, --revised and --split.")
    target, train, test = read_runs(request)
    now = _domains_now(train.runs, asked.changes)
    tokens = available_tokens(asked.available, now) if asked.available else None
    if tokens is None and asked.max_epochs is not None:
        raise StudyError("--max-epochs needs --available, a table of the tokens that there are of each domain.")
    if tokens is not None and asked.max_epochs is not None and asked.target_tokens is None:
        raise StudyError("--max-epochs needs --target-tokens, the tokens of the training run that the mixture is for.")
    valid = reused(train.runs, train.keys, asked.changes, tokens)
    if len(valid.keys) < len(train.keys):
        train = train.only(np.isin(train.keys, valid.keys), "drew from a domain before its revision")
    check_still_fittable(train, asked.changes, target)
    question = Question(
        target_t=target.vector(valid.runs.loss_names),
        higher_is_better=request.higher_is_better,
        limits=Limits(
            Supply(tokens, asked.target_tokens, asked.max_epochs) if tokens is not None else None, asked.min_share, asked.max_share, asked.max_kl
        ),
        changes=asked.changes,
        next_count=asked.next_count,
        flops_per_run=asked.flops_per_run,
        confidence=request.confidence,
        seed=request.seed,
    )
    fitted, proposal = propose(law_named(request.law), valid.runs, valid.keys, question)
    return MixProposal(
        **{**dict(proposal), "warnings": proposal.warnings + warnings_of(fitted.of_groups, train, test)},
        law=request.law,
        candidates={name: dict(evidence) for name, evidence in fitted.of_groups.candidates.items()},
        sentence=fitted.of_groups.sentence,
        target=target.name,
        train_runs=len(valid.keys),
        test=scores(FittedRuns(fitted, target, train, test), test, request.higher_is_better) if test is not None else None,
        rows=train.rows,
        test_rows=test.rows if test is not None else None,
        reuse=ReusedRuns(kept=len(valid.keys), set_aside=dict(valid.set_aside)) if asked.changes.any else None,
    )


def check_still_fittable(train: JoinedRuns, changes: DomainChanges, target: MixtureTarget) -> None:
    """Raises:
    StudyError: when a revision leaves too few valid runs, with what can be done without training all of them again.
    """
    try:
        check_fittable(train, target)
    except StudyError as error:
        if not changes.revised:
            raise
        raise StudyError(
            f"{str(error).rstrip('.')}; to keep these runs as evidence about the other domains, name the new version as a domain of its own, "
            f"--added NEW --max-share {changes.revised[0]}=0, with 0 available tokens of the old one."
        ) from None


def _domains_now(runs: MixtureRuns, changes: DomainChanges) -> list[str]:
    """Those of the runs and those that changes bring."""
    return sorted(({*runs.domains} - {*changes.split}) | {*changes.changed})
