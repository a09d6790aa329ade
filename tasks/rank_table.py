"""`assay rank`: would the small scale have decided between recipes as the large one does? (DataDecide, arXiv 2504.11393)"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from models import decisions
from models.frozen import Frozen, StudyError, nearest
from models.laws.core import Dropped
from models.laws.law import Array
from models.verdict import Interval
from tasks.tables import Rows, Selected, select

MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}  # 4M is 4000000


@dataclass(frozen=True)
class RankRequest:
    """Columns are SQL expressions over the table's; scales are values of theirs, as text or as numbers."""

    source: str
    recipe: str
    scale: str
    score: str
    small: str
    large: str
    seed: str | None = None
    where: str | None = None
    higher_is_better: bool = False
    confidence: float = 0.9


class RankedRecipe(Frozen):
    """Mean scores over seeds."""

    recipe: str
    small: float
    large: float
    seeds: dict[str, int]  # how many scores: small, large


class TableRanking(Frozen):
    recipes: int  # scored at both scales
    pairs: int
    decision_accuracy: Interval  # share of pairs ordered as at the large scale; a tie at the small one counts half, one at the large not at all
    noise_ceiling: float | None  # the decision accuracy that the large scale, done again with other seeds, would reach; None without seeds
    spearman: float | None  # these two are None for two recipes
    pearson: float | None
    top1_regret: float  # score at the large scale that the choice of the small one loses against the best
    scores: tuple[RankedRecipe, ...]  # best at the large scale first
    at_one_scale: dict[str, str]  # recipe -> the one scale that it was scored at
    confidence: float
    rows: Rows
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """Scores (n) at one scale."""

    recipe: Array
    seed: Array
    score: Array

    def means(self) -> dict[str, float]:
        return {name: float(self.score[self.recipe == name].mean()) for name in np.unique(self.recipe)}

    def count(self, recipe: str) -> int:
        return int((self.recipe == recipe).sum())


def rank_table(request: RankRequest) -> TableRanking:
    """Raises:
    StudyError: when a column or a scale isn't there, a score is there twice, or fewer than two recipes are at both scales.
    """
    labels = {"recipe": request.recipe, "scale": request.scale} | ({"seed": request.seed} if request.seed is not None else {})
    selected = select(request.source, {"score": request.score}, request.where, labels)
    small, large = (_at_scale(selected, scale, request) for scale in (request.small, request.large))
    if (small & large).any():
        raise StudyError(f"The small scale '{request.small}' and the large scale '{request.large}' are the same: name two.")
    repeated = _repeated(selected, small | large) if request.seed is not None else np.zeros(len(small), bool)
    at_small, at_large = (_scores(selected, rows & ~repeated) for rows in (small, large))
    dropped = [*selected.dropped]
    for rows, reason in ((~small & ~large, "it is at another scale"), (repeated, "the same score of the same recipe, scale and seed, again")):
        dropped += [Dropped(int(rows.sum()), reason)] if rows.any() else []
    return _ranking(request, at_small, at_large, Rows.of(selected.rows_read, dropped))


def _ranking(request: RankRequest, at_small: Scores, at_large: Scores, rows: Rows) -> TableRanking:
    small, large = at_small.means(), at_large.means()
    recipes = sorted(small.keys() & large.keys())
    at_one_scale = {name: request.small if name in small else request.large for name in sorted(small.keys() ^ large.keys())}
    if len(recipes) < 2:
        raise StudyError(
            f"{len(recipes)} recipes of {request.source} have scores at both {request.small} and {request.large}, and two are the least: "
            f"{len(small)} are at {request.small}, {len(large)} at {request.large}."
        )
    sign = -1.0 if request.higher_is_better else 1.0
    predicted, actual = (sign * np.array([means[name] for name in recipes]) for means in (small, large))
    for scale, scores in ((request.small, predicted), (request.large, actual)):
        if not np.ptp(scores):
            raise StudyError(f"All {len(recipes)} recipes have the same score at {scale}, {abs(scores[0]):g}: there is nothing to decide by.")
    accuracy = decisions.decision_accuracy(predicted, actual)
    assert accuracy is not None
    low, high = decisions.accuracy_interval(accuracy, len(recipes), request.confidence)
    return TableRanking(
        recipes=len(recipes),
        pairs=len(recipes) * (len(recipes) - 1) // 2,
        decision_accuracy=Interval(value=accuracy, low=low, high=high),
        noise_ceiling=_ceiling(at_large, recipes),
        spearman=decisions.spearman(predicted, actual),
        pearson=decisions.pearson(predicted, actual),
        top1_regret=decisions.regret(predicted, actual),
        scores=tuple(
            RankedRecipe(recipe=name, small=small[name], large=large[name], seeds={"small": at_small.count(name), "large": at_large.count(name)})
            for name in sorted(recipes, key=lambda name: (sign * large[name], name))
        ),
        at_one_scale=at_one_scale,
        confidence=request.confidence,
        rows=rows,
        warnings=tuple(_warnings(request, at_small, at_large, at_one_scale)),
    )


def _warnings(request: RankRequest, at_small: Scores, at_large: Scores, at_one_scale: Mapping[str, str]) -> Iterable[str]:
    if scale_number(request.small) > scale_number(request.large):
        yield f"The small scale, {request.small}, is larger than the large one, {request.large}."
    if request.seed is None and any(len(np.unique(one.recipe)) < len(one.recipe) for one in (at_small, at_large)):
        yield "Some recipes have several scores at a scale: their mean is taken. When they are not seeds, choose among them with --where."
    if at_one_scale:
        yield f"Recipes at one scale only take no part: {', '.join(f'{recipe} ({scale})' for recipe, scale in at_one_scale.items())}."


def _ceiling(large: Scores, recipes: list[str]) -> float | None:
    taking_part = np.isin(large.recipe, recipes)
    seed = np.unique(large.seed[taking_part], return_inverse=True)[1] if len(large.seed) else None
    return decisions.noise_ceiling(large.score[taking_part], np.searchsorted(recipes, large.recipe[taking_part].astype(str)), seed)


def _scores(selected: Selected, rows: Array) -> Scores:
    return Scores(*(selected.columns[name][rows] if name in selected.columns else np.array([]) for name in ("recipe", "seed", "score")))


def _at_scale(selected: Selected, scale: str, request: RankRequest) -> Array:
    """(n) which rows are at a scale: those that name it alike, else those with the same number."""
    found = selected.columns["scale"]
    rows = found == scale.strip()
    numbers = {value: scale_number(value) for value in set(found)}
    if not rows.any():
        rows = np.isclose([numbers[value] for value in found], scale_number(scale), rtol=1e-9, atol=0)
    if not rows.any():
        there = sorted(numbers, key=lambda value: (float(np.nan_to_num(numbers[value])), value))
        raise StudyError(f"{request.source} has no scale '{scale}' in '{request.scale}'{nearest(scale, there)}: it has {', '.join(there)}.")
    return rows


def scale_number(text: str) -> float:
    """4M, 4e6 and 4000000.0 are one number; 'base' is NaN."""
    parts = re.fullmatch(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?)\s*([kmbgt]?)\s*", text.lower())
    return float(parts[1]) * MULTIPLES.get(parts[2], 1.0) if parts else float("nan")


def _repeated(selected: Selected, rows: Array) -> Array:
    """(n) rows that say again what another said.

    Raises:
        StudyError: when one recipe, scale and seed has two different scores.
    """
    recipe, scale, seed, score = (selected.columns[name] for name in ("recipe", "scale", "seed", "score"))
    first: dict[tuple[str, str, str], int] = {}
    repeated = np.zeros(len(score), bool)
    for row in np.flatnonzero(rows):
        before = first.setdefault((recipe[row], scale[row], seed[row]), int(row))
        if score[before] != score[row]:
            raise StudyError(
                f"Recipe '{recipe[row]}' has two scores at scale {scale[row]} with seed {seed[row]}: {score[before]:g} in row "
                f"{selected.row_numbers[before]}, {score[row]:g} in row {selected.row_numbers[row]}; choose among them with --where."
            )
        repeated[row] = before != row
    return repeated
