"""The gate before every fit: which runs may enter a law, and why the others may not."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationError

from models.frozen import StudyError
from models.ladder import Seeds
from models.verdict import RefusedRun
from tasks import layout
from tasks.benchmarks.version import Outline, difference, read_outlines
from tasks.evaluation_table import BITS_PER_BYTE, HELDOUT, read_decisive
from tasks.run_directory import RunResult
from tasks.study import Study


@dataclass(frozen=True)
class Evaluation:
    """Bits per byte of one run on one held-out domain."""

    value: float | None
    version: str
    tokens: int  # that the model had seen


@dataclass(frozen=True)
class AdmittedRun:
    result: RunResult
    bits_per_byte: dict[str, float | None]  # by held-out domain; finite where the loss' weights are
    loss: float


@dataclass(frozen=True)
class Gate:
    admitted: list[AdmittedRun]  # by mixture in the study's order, then as in its ladder
    refused: list[RefusedRun]
    weights_by_domain: dict[str, float]  # of the loss; they sum to one


def through_gate(study: Study) -> Gate:
    """Reads the runs and evaluations of the study's own mixtures, sizes, budgets and seeds.

    Raises:
        StudyError: when a mixture's runs or evaluations are not there at all, or no domain is left to compare.
    """
    found: list[RunResult] = []
    refused: list[RefusedRun] = []
    evaluations: dict[str, dict[str, list[Evaluation]]] = {}
    for mixture in study.mixtures:
        results, unreadable = _results(study, mixture)
        found += results
        refused += unreadable
        for key, by_domain in evaluations_of(mixture).items():
            evaluations.setdefault(key, {}).update(by_domain)
    weights = loss_weights(study, {domain for by_domain in evaluations.values() for domain in by_domain})
    outlines = outlines_by_version(study)
    version_by_domain = {
        domain: common_version(one.version for by_domain in evaluations.values() for one in by_domain.get(domain, [])) for domain in weights
    }
    common_md5s = data_versions(found)
    admitted: list[AdmittedRun] = []
    first_with_key: dict[str, RunResult] = {}
    for result in found:
        by_domain = evaluations.get(identity(result), {})
        reason = (
            unfinished(result)
            or _duplicate(result, first_with_key.setdefault(result.run_key, result))
            or _other_data(result, common_md5s)
            or not_comparable(result, by_domain, version_by_domain, outlines)
        )
        if reason:
            refused.append(RefusedRun(run=result.run, mixture=result.mixture, reason=reason))
            continue
        bits_per_byte = {domain: values[0].value for domain, values in sorted(by_domain.items())}
        loss = math.fsum(weights[domain] * value for domain, value in bits_per_byte.items() if domain in weights and value is not None)
        admitted.append(AdmittedRun(result, bits_per_byte, loss))
    return Gate(admitted, refused, weights)


def loss_weights(study: Study, evaluated: set[str]) -> dict[str, float]:
    """The weights of held-out domains in the loss that is compared, summing to one; domains without weight are left out.

    Raises:
        StudyError: when nothing is weighted, or a weight is negative.
    """
    asked = study.target.domain_weights
    weights = (
        dict.fromkeys(sorted(evaluated), 1.0) if isinstance(asked, str) else {domain: asked[domain] for domain in sorted(asked) if asked[domain] != 0}
    )
    if not weights:
        raise StudyError(
            f"target.domain_weights is {asked!r}, which leaves no held-out domain to compare: run `evaluate`, or give a domain some weight."
        )
    if negative := {domain: weight for domain, weight in weights.items() if not weight > 0}:
        raise StudyError(f"target.domain_weights must not be negative: {negative}.")
    return {domain: weight / math.fsum(weights.values()) for domain, weight in weights.items()}


def data_versions(results: Iterable[RunResult]) -> dict[tuple[str, str], str | None]:
    """By recipe and domain: the md5 of the tokens that most of the recipe's finished runs were trained on."""
    md5s: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for domain, md5 in result.tokens_md5_by_domain.items() if not unfinished(result) else ():
            md5s.setdefault((result.recipe, domain), []).append(md5)
    return {key: common_version(several) for key, several in md5s.items()}


def common_version(versions: Iterable[str]) -> str | None:
    """The version that more than half have; None when there is no such one."""
    counts = Counter(versions)
    version, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return version if 2 * count > sum(counts.values()) else None


def unfinished(result: RunResult) -> str | None:
    """What is left of a run's target, if something is."""
    if result.status != "completed":
        return f"it {result.status} after {result.steps} of {result.target_steps} steps"
    if result.steps != result.target_steps:
        return f"it has {result.steps} of {result.target_steps} steps"
    return None


def _duplicate(result: RunResult, first: RunResult) -> str | None:
    if first is result:
        return None
    return f"it is the same run as {first.mixture}/{first.run} (key {result.run_key}): the same data, counted once"


def _other_data(result: RunResult, common_md5s: dict[tuple[str, str], str | None]) -> str | None:
    for domain, md5 in result.tokens_md5_by_domain.items():
        common = common_md5s[result.recipe, domain]
        if common is None:
            return f"runs of recipe {result.recipe} read several versions of its {domain} tokens, none more than half of them: train them again"
        if md5 != common:
            return f"it read version {md5} of the {domain} tokens of recipe {result.recipe}, most runs {common}: train it again"
    return None


def not_comparable(
    result: RunResult,
    by_domain: Mapping[str, list[Evaluation]],
    version_by_domain: Mapping[str, str | None],
    outlines: Mapping[tuple[str, str], Outline] = MappingProxyType({}),
) -> str | None:
    """What keeps a run's loss from being computed, or from being compared with others: of the held-out domains and versions that are asked for."""
    for domain, version in version_by_domain.items():
        values = by_domain.get(domain, [])
        if len(values) != 1:
            return f"it has {len(values) or 'no'} values of {BITS_PER_BYTE} on held-out {domain}"
        if values[0].tokens != result.tokens_seen:
            return f"on held-out {domain} it was evaluated after {values[0].tokens} of {result.tokens_seen} tokens: evaluate it again"
        if values[0].value is None or not math.isfinite(values[0].value) or values[0].value <= 0:
            return f"its {BITS_PER_BYTE} on held-out {domain} is {values[0].value}, not a positive number"
        if version is None:
            return f"runs were evaluated by several versions of held-out {domain}, none by more than half of them: evaluate them again"
        if values[0].version != version:
            old, new = (outlines.get((domain, one)) for one in (version, values[0].version))
            what = f" ({difference(old, new)})" if old and new else ""
            return f"it was evaluated by version {values[0].version} of held-out {domain}, not by {version}{what}: evaluate it again"
    return None


def outlines_by_version(study: Study) -> dict[tuple[str, str], Outline]:
    """By held-out domain and version: what that is a version of, to say what changed."""
    found: dict[tuple[str, str], Outline] = {}
    for mixture in study.mixtures:
        path = layout.EVALUATIONS / f"{mixture}.parquet"
        outlines = read_outlines(path)
        for row in read_decisive(path).to_pylist():
            if row["benchmark"] in outlines and row["benchmark"].startswith(HELDOUT) and row["metric"] == BITS_PER_BYTE:
                found[row["benchmark"].removeprefix(HELDOUT), row["version"]] = outlines[row["benchmark"]]
    return found


def _results(study: Study, mixture: str) -> tuple[list[RunResult], list[RefusedRun]]:
    """The mixture's results in the ladder's order, and runs of the ladder that have none."""
    directory = layout.RUNS / mixture
    if not directory.is_dir():
        raise StudyError(f"There are no runs of mixture '{mixture}' in {directory}: run the stage that writes them (`dvc repro`), or `dvc checkout`.")
    results, refused = [], []
    for rung in study.ladder.runs():
        path = directory / rung.name / "result.json"
        try:
            result = RunResult.model_validate_json(path.read_bytes())
            seeds = Seeds(seed=result.seed, initialization=result.initialization_seed, data=result.data_seed)
            if (result.mixture, result.run, result.size, seeds) != (mixture, rung.name, rung.size, rung.seeds):
                raise ValueError("another run")
            results.append(result)
        except FileNotFoundError:
            refused.append(RefusedRun(run=rung.name, mixture=mixture, reason=f"it is missing: there is no {path}"))
        except (ValidationError, ValueError):
            refused.append(RefusedRun(run=rung.name, mixture=mixture, reason=f"{path} is not the result of this run"))
    return results, refused


def evaluations_of(mixture: str) -> dict[str, dict[str, list[Evaluation]]]:
    """[mixture/run/key][domain]: what was measured, all of it, so that a value that stands there twice is seen."""
    path = layout.EVALUATIONS / f"{mixture}.parquet"
    if not path.exists():
        raise StudyError(
            f"There are no evaluations of mixture '{mixture}' in {path}: run the stage that writes them (`dvc repro`), or `dvc checkout`."
        )
    found: dict[str, dict[str, list[Evaluation]]] = {}
    for row in read_decisive(path).to_pylist():
        if row["benchmark"].startswith(HELDOUT) and row["metric"] == BITS_PER_BYTE:
            domain = row["benchmark"].removeprefix(HELDOUT)
            of_run = found.setdefault(f"{row['mixture']}/{row['run']}/{row['run_key']}", {})
            of_run.setdefault(domain, []).append(Evaluation(row["value"], row["version"], row["tokens"]))
    return found


def identity(result: RunResult) -> str:
    """Which evaluations are a run's: a key alone may stand in several mixtures."""
    return f"{result.mixture}/{result.run}/{result.run_key}"
