"""What a reader of the verdict must know, in words."""

from collections.abc import Iterator, Sequence

import numpy as np

from models.laws.extrapolation import Extrapolation
from models.laws.record import Laws
from models.verdict import BackTest
from tasks.run_gate import AdmittedRun
from tasks.study import Study

EPOCHS_WITHOUT_LOSS = 4.0  # repeating data so often is nearly as good as new data, arXiv 2305.16264
FAR = 100.0  # times the compute of the largest run


def study_warnings(
    study: Study, used: Sequence[AdmittedRun], fitted: Extrapolation | None, tested: BackTest | None, laws: Laws, refusals: dict[str, str]
) -> tuple[str, ...]:
    """One sentence per doubt, the gravest first."""
    warnings = [f"{name} is refused: {reason}" for name, reason in refusals.items()]
    if fitted is None:
        return tuple(warnings)
    warnings += [*_about_back_test(tested), *_about_repetition(study, used), *_about_distance(study, fitted)]
    warnings += [*dict.fromkeys(warning for law in laws.mixtures.values() for warning in law.warnings), *_about_seeds(laws)]
    warnings += [*_about_runs(study, used, fitted)]
    return tuple(warnings)


def _about_back_test(tested: BackTest | None) -> Iterator[str]:
    if tested is None:
        yield "There is no back-test: it leaves out the largest size, and no mixture has runs at that size and at a smaller one. So no winner is named."
        return
    if tested.coverage is not None and tested.coverage < 0.5:
        held = round(tested.coverage * len(tested.rows))
        yield f"In the back-test only {held} of {len(tested.rows)} losses at {tested.left_out} lay in their interval: the law misses by more than it admits."
    accuracy, simple = tested.decision_accuracy, tested.single_scale_decision_accuracy
    if accuracy is not None and simple is not None and simple > accuracy:
        yield f"In the back-test the order at the next smaller size was right for {simple:.0%} of pairs, the law's for {accuracy:.0%}."


def _about_repetition(study: Study, used: Sequence[AdmittedRun]) -> Iterator[str]:
    repeated = {}
    for run in used:
        worst = max(run.result.target_epochs_by_domain, key=lambda domain: run.result.target_epochs_by_domain[domain], default=None)
        if worst is not None and run.result.target_epochs_by_domain[worst] > EPOCHS_WITHOUT_LOSS:
            repeated[run.result.mixture] = f"{run.result.mixture} ({worst} {run.result.target_epochs_by_domain[worst]:.0f} times)"
    if repeated:
        seen = max(max(run.result.epochs_by_domain.values(), default=0.0) for run in used)
        yield (
            f"At the target, data would be repeated more than {EPOCHS_WITHOUT_LOSS:g} times, which the law knows nothing of (no run repeated any domain more "
            f"than {seen:.2g} times): {', '.join(repeated.values())}. The predictions hold for a pool with as many tokens of this kind as the target asks."
        )


def _about_distance(study: Study, fitted: Extrapolation) -> Iterator[str]:
    runs, target = fitted.runs, study.target
    largest = int((runs.num_params * runs.tokens).argmax())
    times = target.num_params * target.tokens / (runs.num_params[largest] * runs.tokens[largest])
    if times > FAR:
        yield f"The target takes {times:.2g} times the compute of the largest run: levels there rest on the form of the law, differences less so."


def _about_seeds(laws: Laws) -> Iterator[str]:
    if laws.noise and laws.noise.standard_deviation is None:
        yield "No mixture has two seeds at one scale: noise between seeds is not measured but assumed (about 0.5% of the loss)."
    if laws.noise and laws.noise.signal_to_noise is not None and laws.noise.signal_to_noise < 1:
        yield f"At the largest scale the mixtures differ by less ({laws.noise.signal_to_noise:.2f} times) than the noise of their means over seeds."


def _about_runs(study: Study, used: Sequence[AdmittedRun], fitted: Extrapolation) -> Iterator[str]:
    asked = len(study.ladder.runs())
    for mixture in laws_order(used):
        count = sum(run.result.mixture == mixture for run in used)
        if count < asked:
            yield f"{mixture}: only {count} of {asked} runs entered its law."
    residual = np.abs(fitted.fitted.problem.residuals(fitted.fitted.u)[0])
    far_off = residual > fitted.fitted.problem.delta
    for index in np.flatnonzero(far_off):
        runs = fitted.runs
        yield (
            f"A run of {list(laws_order(used))[runs.mixture[index]]} with {runs.num_params[index]:.3g} parameters, {runs.tokens[index]:.3g} tokens and seed "
            f"{runs.seed[index]} is {residual[index]:.1%} off the law: it counts less."
        )


def laws_order(used: Sequence[AdmittedRun]) -> dict[str, None]:
    """The mixtures of the runs, in order."""
    return dict.fromkeys(run.result.mixture for run in used)
