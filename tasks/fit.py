"""From runs to the answer: laws, predictions at the target, the verdict and its back-test."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.laws import identifiability, next_runs
from models.laws.back_test import Prediction, back_tests, target_predictions
from models.laws.extrapolation import Extrapolation
from models.laws.noise import seed_standard_deviation, signal_to_noise
from models.laws.record import CurvePoint, Laws, MixtureLaw, NoiseFloor, Objective
from models.one_thread import on_one_thread
from models.verdict import BackTest, MethodVerdict, MixtureVerdict, Ranking, Verdict, interval, rank, rule, sentence, speaker
from tasks import layout
from tasks.atomic import replace_directory, write_json
from tasks.evaluation_noise import noise_of_metrics
from tasks.evaluation_table import BITS_PER_BYTE, read_all
from tasks.fit_warnings import study_warnings
from tasks.fitted_study import FittedStudy, fitted_study
from tasks.left_out_mixtures import mixtures_left_out
from tasks.run_gate import AdmittedRun
from tasks.stage import main
from tasks.study import Study, Target

NOTHING_USABLE = "Cannot tell: no mixture has enough usable runs."
CURVE_POINTS = 25
UNIT = "bits per byte"


@on_one_thread
def fit(study: Study) -> Verdict:
    """Writes `results/fit`: runs.parquet, evaluations.parquet (`tasks/evaluation_table.py`, of all mixtures), laws.json (`models/laws/record.py`),
    noise_floor.json (`models/noise_floor.py`, by metric) and verdict.json (`models/verdict.py`).

    Mixtures with too few usable runs are refused in the verdict; without any other there is a verdict that says so.

    Raises:
        StudyError: when the runs or evaluations of a mixture are not there, or nothing was evaluated.
    """
    it = fitted_study(study)
    laws = describe_laws(it)
    verdict = decide(it, laws)
    evaluations = read_all(sorted(study.mixtures))
    noise = noise_of_metrics(evaluations, [run.result for run in it.admitted], study.target.confidence)
    with replace_directory(layout.FIT) as directory:
        write_runs(directory / "runs.parquet", it.used, it.heldout_domains)
        evaluations.write_parquet(directory / "evaluations.parquet")
        write_json(directory / "laws.json", laws.model_dump(mode="json"))
        write_json(directory / "noise_floor.json", [of_metric.model_dump(mode="json") for of_metric in noise])
        write_json(directory / "verdict.json", verdict.model_dump(mode="json"))
    return verdict


def describe_laws(it: FittedStudy) -> Laws:
    """What `laws.json` holds."""
    return Laws(
        loss=loss_in_words(it.weights_by_domain, isinstance(it.study.target.domain_weights, str)),
        equation="L(N, D) = E + A N^-alpha + B D^-beta for each mixture, its coefficients partially pooled over mixtures",
        source="arXiv 2203.15556 eq. 10; models/laws/pooled.py",
        num_params="all parameters, embeddings counted once",
        train_flops="6 N D",
        noise=noise_floor(it.fitted) if it.fitted else None,
        mixtures={name: describe_law(it.fitted, index, it.study) for index, name in enumerate(it.mixtures)} if it.fitted else {},
    )


def loss_in_words(weights_by_domain: dict[str, float], uniform: bool) -> str:
    domains = ", ".join(weights_by_domain if uniform else (f"{domain} {weight:.3g}" for domain, weight in weights_by_domain.items()))
    return f"mean {UNIT} over held-out text, {'each domain alike' if uniform else 'weighted by domain'} ({domains})"


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
    """Lines of constant tokens per parameter, those of the ladder (of one that counts tokens or FLOPs, the lowest and the highest of its runs) and
    the target's, from the smallest size to the target's."""
    target_ratio = study.target.tokens / study.target.num_params
    ratios_of_runs = fitted.runs.tokens / fitted.runs.num_params
    of_ladder = study.ladder.tokens_per_parameter or (float(ratios_of_runs.min()), float(ratios_of_runs.max()))
    ratios = sorted({*of_ladder, target_ratio})
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


def decide(it: FittedStudy, laws: Laws) -> Verdict:
    """What `verdict.json` holds."""
    target = it.study.target
    predictions = target_predictions(it.fitted, target.num_params, target.tokens) if it.fitted else {}
    rankings = {method: ranked(prediction, it.mixtures, target) for method, prediction in predictions.items()}
    tests = tested_back(it)
    method, reason = speaker(tests, rankings) if rankings else (None, None)
    ranking = rankings[method] if method else None
    noise_sd = laws.noise.standard_deviation if laws.noise else None
    return Verdict(
        loss=laws.loss,
        target_num_params=target.num_params,
        target_tokens=target.tokens,
        confidence=target.confidence,
        rule=rule(target.confidence),
        winner=ranking.first if ranking and ranking.is_sure and tests else None,
        sentence=sentence(ranking, scale_in_words(target), UNIT, bool(tests), noise_sd) if ranking else NOTHING_USABLE,
        mixtures=tuple(mixture_verdicts(it, laws, ranking)),
        probability_better=ranking.probability_better if ranking else {},
        method=method,
        method_reason=reason,
        methods={name: method_verdict(one) for name, one in rankings.items()},
        back_tests=tests,
        mixture_back_test=mixtures_left_out(it, noise_sd),
        expected_regret=ranking.expected_regret if ranking and len(it.mixtures) > 1 else None,
        noise_floor=noise_sd,
        signal_to_noise=laws.noise.signal_to_noise if laws.noise else None,
        to_tell=what_would_tell(it, predictions[method], ranking, bool(tests)) if method and ranking else None,
        refused_runs=tuple(it.refused_runs),
        warnings=study_warnings(it, laws, tests, method),
    )


def ranked(prediction: Prediction, mixtures: Sequence[str], target: Target) -> Ranking:
    """The mixtures at the target."""
    return rank(dict(zip(mixtures, prediction.draws_bm.T, strict=True)), target.confidence)


def method_verdict(ranking: Ranking) -> MethodVerdict:
    return MethodVerdict(
        first=ranking.first,
        predicted_loss=ranking.predicted_loss,
        probability_best=ranking.probability_best,
        expected_regret=ranking.expected_regret,
    )


def tested_back(it: FittedStudy) -> tuple[BackTest, ...]:
    if it.fitted is None:
        return ()
    names = {float(run.result.num_params): run.result.size for run in it.used}
    return back_tests(it.fitted.runs, it.mixtures, names, it.study.target.confidence, it.study.target.bootstraps, it.study.seed)


def mixture_verdicts(it: FittedStudy, laws: Laws, ranking: Ranking | None) -> Iterator[MixtureVerdict]:
    """Best first, refused ones last."""
    for name, loss in ranking.predicted_loss.items() if ranking else ():
        best, law = ranking.probability_best[name] if ranking else None, laws.mixtures[name].law
        yield MixtureVerdict(mixture=name, predicted_loss=loss, probability_best=best, law=law, runs_used=it.runs_by_mixture[name])
    for name, reason in it.refused_mixtures.items():
        yield MixtureVerdict(mixture=name, predicted_loss=None, probability_best=None, law=None, runs_used=0, refused=reason)


def what_would_tell(it: FittedStudy, prediction: Prediction, ranking: Ranking, back_tested: bool) -> str | None:
    """What would make us surer; None when we are sure, or there is nothing to compare."""
    if len(it.mixtures) < 2 or (ranking.is_sure and back_tested):
        return None
    if not back_tested:
        return "Train at a second, larger size: only then can predictions be tested at a size that was left out."
    assert it.fitted
    target, names = it.study.target, list(ranking.predicted_loss)[:2]
    first, second = (it.mixtures.index(name) for name in names)
    difference_b = np.log(prediction.draws_bm[:, first] / prediction.draws_bm[:, second])
    found = next_runs.options(it.fitted, difference_b, first, second, target.num_params, target.tokens, target.confidence)
    spent_flops = float((6 * it.fitted.runs.num_params * it.fitted.runs.tokens).sum())
    return next_runs.in_words(found, names[0], names[1], spent_flops, target.confidence)


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
