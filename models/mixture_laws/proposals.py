"""The best mixture under limits, what supports it, how it compares with the natural shares, and which runs to train next.

Shapes: n runs, d domains, g groups of domains that the runs tell apart, b draws.
"""

from collections.abc import Sequence

import numpy as np

from models.laws.law import Array
from models.mixture_laws.feasible import kl
from models.mixture_laws.law import MixtureLaw, MixtureRuns
from models.mixture_laws.next_batch import next_batch
from models.mixture_laws.optimiser import best_mixture
from models.mixture_laws.proposal_record import Proposal, Reference, interval
from models.mixture_laws.question import Question, Setting
from models.mixture_laws.reuse import OverDomains
from models.mixture_laws.support import support
from models.verdict import Interval

DRAWS = 1000


def propose(law: MixtureLaw, runs: MixtureRuns, keys: Sequence[str], question: Question) -> tuple[OverDomains, Proposal]:
    """The law, fitted to what the runs tell apart, and the proposal by it.

    Raises:
        StudyError: when no mixture is within the limits, or the law can't be fitted.
    """
    setting = Setting.of(runs, question)
    known, observed_ng = setting.known, setting.known.collapse(runs.weights_nd)
    fitted = law.fit(MixtureRuns(known.groups, runs.loss_names, observed_ng, runs.losses_nt), question.target_t)
    best_g = best_mixture(lambda weights_mg: question.sign * fitted.predict(weights_mg), setting.feasible, observed_ng, question.seed)
    best_d = known.expand(best_g[None])[0]
    both = np.stack([best_g, known.collapse(setting.reference_d[None])[0]])
    draws_b2 = fitted.draws(both, DRAWS, question.seed)
    best, reference = (interval(value, draws, question.confidence) for value, draws in zip(fitted.predict(both), draws_b2.T, strict=True))
    gain_b = question.sign * (draws_b2[:, 1] - draws_b2[:, 0])
    proposal = Proposal(
        weights=setting.named(best_d),
        predicted=best,
        reference=_reference(setting, best_d, reference),
        probability_better=float((gain_b > 0).mean() + (gain_b == 0).mean() / 2),
        epochs=setting.epochs(best_d),
        support=support(best_d, runs.domains, keys, runs.weights_nd),
        next=next_batch(question, setting, runs, fitted, best_g),
        warnings=setting.warnings(),
    )
    return OverDomains(fitted, known), proposal


def _reference(setting: Setting, best_d: Array, predicted: Interval) -> Reference:
    distance = float(kl(best_d[None], setting.reference_d)[0])
    return Reference(
        name=setting.reference_name,
        weights=setting.named(setting.reference_d),
        epochs=setting.epochs(setting.reference_d),
        kl=distance if np.isfinite(distance) else None,
        **predicted.model_dump(),
    )
