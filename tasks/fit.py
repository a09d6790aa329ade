"""From runs to the answer: laws, predictions at the target, the verdict and its back-test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.laws import identifiability, next_runs
from models.laws.back_test import back_test
from models.laws.extrapolation import Extrapolation, extrapolation
from models.laws.noise import Runs, seed_standard_deviation, signal_to_noise
from models.laws.record import CurvePoint, Laws, MixtureLaw, NoiseFloor, Objective
from models.verdict import MixtureVerdict, Ranking, RefusedRun, Verdict, interval, rank, rule, sentence
from tasks import layout
from tasks.atomic import replace_directory, write_json
from tasks.evaluation_table import BITS_PER_BYTE
from tasks.fit_warnings import study_warnings
from tasks.run_gate import AdmittedRun, through_gate
from tasks.stage import main
from tasks.study import Study, Target

FEWEST_RUNS, FEWEST_CELLS = 3, 2  # of a mixture; with fewer nothing but the other mixtures would speak for it
CURVE_POINTS = 25
UNIT = "bits per byte"


def fit(study: Study) -> Verdict:
    """Writes `results/fit`: runs.parquet, laws.json (`models/laws/record.py`) and verdict.json (`models/verdict.py`).

    Mixtures with too few usable runs are refused in the verdict; without any other there is a verdict that says so.

    Raises:
        StudyError: when the runs or evaluations of a mixture are not there, or nothing was evaluated.
    """
    gate = through_gate(study)
    runs_by_mixture = {mixture: [run for run in gate.admitted if run.result.mixture == mixture] for mixture in study.mixtures}
    refusals = {mixture: reason for mixture, runs in runs_by_mixture.items() if (reason := too_few(runs, len(study.ladder.runs())))}
    mixtures = sorted(study.mixtures.keys() - refusals)  # not as they are listed: the draws, and so the verdict, don't depend on that
    used = [run for mixture in mixtures for run in runs_by_mixture[mixture]]
    loss = loss_in_words(gate.weights_by_domain, isinstance(study.target.domain_weights, str))
    fitted = extrapolation(as_arrays(used, mixtures), study.target.bootstraps, study.seed) if used else None
    laws = describe_laws(fitted, mixtures, study, loss)
    verdict = decide(study, fitted, mixtures, used, refusals, gate.refused, laws)
    with replace_directory(layout.FIT) as directory:
        write_runs(directory / "runs.parquet", used, sorted({domain for run in gate.admitted for domain in run.bits_per_byte}))
        write_json(directory / "laws.json", laws.model_dump(mode="json"))
        write_json(directory / "verdict.json", verdict.model_dump(mode="json"))
    return verdict


def too_few(runs: Sequence[AdmittedRun], asked: int) -> str | None:
    """Why a mixture's runs are not enough for a law, or None."""
    cells = {(run.result.size, run.result.budget_tokens) for run in runs}
    if len(runs) >= FEWEST_RUNS and len(cells) >= FEWEST_CELLS:
        return None
    return (
        f"{len(runs)} of its {asked} runs are usable, at {len(cells)} different scales; a law needs at least {FEWEST_RUNS} runs at {FEWEST_CELLS} scales"
        " (see the refused runs)."
    )


def as_arrays(used: Sequence[AdmittedRun], mixtures: Sequence[str]) -> Runs:
    """N counts all parameters, embeddings once, as budgets and target do; D counts the tokens that were read."""
    results = [run.result for run in used]
    scales = sorted({(result.num_params, result.budget_tokens) for result in results})
    return Runs(
        mixture=np.array([mixtures.index(result.mixture) for result in results]),
        cell=np.array([scales.index((result.num_params, result.budget_tokens)) for result in results]),
        seed=np.array([result.seed for result in results]),
        num_params=np.array([float(result.num_params) for result in results]),
        tokens=np.array([float(result.tokens_seen) for result in results]),
        loss=np.array([run.loss for run in used]),
    )


def loss_in_words(weights_by_domain: dict[str, float], uniform: bool) -> str:
    domains = ", ".join(weights_by_domain if uniform else (f"{domain} {weight:.3g}" for domain, weight in weights_by_domain.items()))
    return f"mean {UNIT} over held-out text, {'each domain alike' if uniform else 'weighted by domain'} ({domains})"


def describe_laws(fitted: Extrapolation | None, mixtures: Sequence[str], study: Study, loss: str) -> Laws:
    """What `laws.json` holds."""
    return Laws(
        loss=loss,
        equation="L(N, D) = E + A N^-alpha + B D^-beta for each mixture, its coefficients partially pooled over mixtures",
        source="arXiv 2203.15556 eq. 10; models/laws/pooled.py",
        num_params="all parameters, embeddings counted once",
        train_flops="6 N D",
        noise=noise_floor(fitted) if fitted else None,
        mixtures={name: describe_law(fitted, index, study) for index, name in enumerate(mixtures)} if fitted else {},
    )


def noise_floor(fitted: Extrapolation) -> NoiseFloor:
    sd, degrees = seed_standard_deviation(fitted.runs)
    return NoiseFloor(
        standard_deviation=sd,
        degrees_of_freedom=degrees,
        common_share=fitted.seed_variance.common_share,
        law_misfit=fitted.misfit_variance.value**0.5,
        signal_to_noise=signal_to_noise(fitted.runs, sd),
    )


def describe_law(fitted: Extrapolation, mixture: int, study: Study) -> MixtureLaw:
    coefficients = fitted.law.coefficients(fitted.draws_bp, mixture)
    return MixtureLaw(
        law=fitted.law.name,
        coefficients={name: interval(draws, study.target.confidence) for name, draws in coefficients.items()},
        objective=Objective(name="Huber on log residuals in units of their noise, plus priors, over all mixtures", value=fitted.fitted.objective),
        warnings=identifiability.warnings(fitted.fitted),
        curve=tuple(curve(fitted, mixture, study)),
    )


def curve(fitted: Extrapolation, mixture: int, study: Study) -> list[CurvePoint]:
    """Lines of constant tokens per parameter, those of the ladder and the target's, from the smallest size to the target's."""
    target_ratio = study.target.tokens / study.target.num_params
    ratios = sorted({*study.ladder.tokens_per_parameter, target_ratio})
    sizes = np.geomspace(fitted.runs.num_params.min(), study.target.num_params, CURVE_POINTS)
    num_params_k, ratio_k = np.tile(sizes, len(ratios)), np.repeat(ratios, len(sizes))
    points = []
    for num_params, ratio, draws in zip(num_params_k, ratio_k, fitted.draws_at(num_params_k, num_params_k * ratio_k)[:, :, mixture].T, strict=True):
        loss = interval(draws, study.target.confidence)
        points.append(
            CurvePoint(
                tokens_per_parameter=ratio,
                at_target_ratio=ratio == target_ratio,
                num_params=num_params,
                tokens=num_params * ratio,
                train_flops=6 * num_params**2 * ratio,
                loss=loss.value,
                low=loss.low,
                high=loss.high,
            )
        )
    return points


def decide(
    study: Study,
    fitted: Extrapolation | None,
    mixtures: Sequence[str],
    used: Sequence[AdmittedRun],
    refusals: dict[str, str],
    refused_runs: Sequence[RefusedRun],
    laws: Laws,
) -> Verdict:
    """What `verdict.json` holds."""
    target = study.target
    draws_bm = fitted.draws_at(np.array([target.num_params]), np.array([target.tokens]))[:, 0] if fitted else None
    ranking = rank(dict(zip(mixtures, draws_bm.T, strict=True)), target.confidence) if draws_bm is not None else None
    largest = study.ladder.sizes[-1] if not used else max(used, key=lambda run: run.result.num_params).result.size
    tested = back_test(fitted.runs, mixtures, f"size {largest}", target.confidence, target.bootstraps, study.seed) if fitted else None
    noise = laws.noise
    refused_mixtures = [
        MixtureVerdict(mixture=name, predicted_loss=None, probability_best=None, law=None, runs_used=0, refused=reason)
        for name, reason in refusals.items()
    ]
    predicted = [
        MixtureVerdict(
            mixture=name,
            predicted_loss=loss,
            probability_best=ranking.probability_best[name],
            law=laws.mixtures[name].law,
            runs_used=sum(run.result.mixture == name for run in used),
        )
        for name, loss in (ranking.predicted_loss.items() if ranking else ())
        if ranking
    ]
    return Verdict(
        loss=laws.loss,
        target_num_params=target.num_params,
        target_tokens=target.tokens,
        confidence=target.confidence,
        rule=rule(target.confidence),
        winner=ranking.first if ranking and ranking.is_sure and tested else None,
        sentence=sentence(ranking, scale_in_words(target), UNIT, tested is not None, noise.standard_deviation if noise else None)
        if ranking
        else "Cannot tell: no mixture has enough usable runs.",
        mixtures=(*predicted, *refused_mixtures),
        probability_better=ranking.probability_better if ranking else {},
        back_test=tested,
        expected_regret=ranking.expected_regret if ranking and len(mixtures) > 1 else None,
        noise_floor=noise.standard_deviation if noise else None,
        signal_to_noise=noise.signal_to_noise if noise else None,
        to_tell=what_would_tell(fitted, ranking, mixtures, target, tested is not None) if fitted and ranking else None,
        refused_runs=tuple(refused_runs),
        warnings=study_warnings(study, used, fitted, tested, laws, refusals),
    )


def what_would_tell(fitted: Extrapolation, ranking: Ranking, mixtures: Sequence[str], target: Target, back_tested: bool) -> str | None:
    """What would make us surer; None when we are sure, or there is nothing to compare."""
    if len(mixtures) < 2 or (ranking.is_sure and back_tested):
        return None
    if not back_tested:
        return "Train at a second, larger size: only then can predictions be tested at a size that was left out."
    first, second = list(ranking.predicted_loss)[:2]
    found = next_runs.options(fitted, mixtures.index(first), mixtures.index(second), target.num_params, target.tokens, target.confidence)
    spent_flops = float((6 * fitted.runs.num_params * fitted.runs.tokens).sum())
    return next_runs.in_words(found, first, second, spent_flops, target.confidence)


def scale_in_words(target: Target) -> str:
    return f"{_count(target.num_params)} parameters and {_count(target.tokens)} tokens"


def _count(value: float) -> str:
    for unit, word in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{word}"
    return f"{value:.3g}"


def write_runs(path: Path, used: Sequence[AdmittedRun], domains: Sequence[str]) -> None:
    """One row per run that entered the laws; its loss, and bits per byte of every held-out domain."""
    columns = {
        "run_key": ([run.result.run_key for run in used], pa.string()),
        "mixture": ([run.result.mixture for run in used], pa.string()),
        "run": ([run.result.run for run in used], pa.string()),
        "recipe": ([run.result.recipe for run in used], pa.string()),
        "size": ([run.result.size for run in used], pa.string()),
        "num_params": ([run.result.num_params for run in used], pa.int64()),
        "tokens": ([run.result.tokens_seen for run in used], pa.int64()),
        "train_flops": ([run.result.train_flops for run in used], pa.float64()),
        "seed": ([run.result.seed for run in used], pa.int64()),
        "loss": ([run.loss for run in used], pa.float64()),
    }
    columns |= {f"{BITS_PER_BYTE}/{domain}": ([run.bits_per_byte.get(domain) for run in used], pa.float64()) for domain in domains}
    pq.write_table(pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()}), path)


if __name__ == "__main__":
    main(fit)
