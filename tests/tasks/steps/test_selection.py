import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frozen import StudyError
from tasks.steps.band import ScoreBand
from tasks.steps.base import StepContext
from tasks.steps.draws import uniform
from tasks.steps.quota import DomainQuota
from tasks.steps.ranked import RankedSelection
from tasks.steps.sampling import ScoreSampling
from tasks.steps.selection import TopFraction
from tasks.steps.threshold import ScoreThreshold
from tests.tasks.steps.some_documents import CONTEXT, apply, documents


def scored(scores: list[float | None], domain: str | list[str] = "d") -> pa.Table:
    return documents([f"text {i}" for i in range(len(scores))], domain=domain, quality_score=pa.array(scores, pa.float32()).cast(pa.float32()))


def bounds(step: RankedSelection, context: StepContext, *shards: pa.Table) -> pa.Table:
    with tempfile.TemporaryDirectory() as directory:
        context = replace(context, directory=Path(directory))
        return step.reduce([step.map(shard, replace(context, shard=number)) for number, shard in enumerate(shards)], context)


def select(step: RankedSelection, *shards: pa.Table) -> tuple[list[str], pa.Table]:
    state = bounds(step, CONTEXT, *shards)
    outcomes = [apply(step, shard, state=state) for shard in shards]
    return [id for kept, _ in outcomes for id in kept["id"].to_pylist()], pa.concat_tables([removed for _, removed in outcomes])


def test_keeps_the_best_of_each_domain():
    table = scored([0.1, 0.9, 0.5, 0.01, 0.03, 0.02], ["a"] * 3 + ["b"] * 3)
    kept, removed = select(TopFraction(step="top-fraction", fraction=1 / 3), table)
    assert kept == ["s#00001", "s#00004"]
    assert removed["threshold"].to_pylist() == pytest.approx([0.9, 0.9, 0.03, 0.03])
    assert removed["value"].to_pylist() == pytest.approx([0.1, 0.5, 0.01, 0.02])


def test_or_of_the_whole_corpus():
    table = scored([0.1, 0.9, 0.5, 0.01, 0.03, 0.02], ["a"] * 3 + ["b"] * 3)
    assert select(TopFraction(step="top-fraction", fraction=1 / 3, by=None), table)[0] == ["s#00001", "s#00002"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.floats(0.01, 1), st.data())
def test_the_share_is_exact_whatever_the_ties_and_the_cut(scores, fraction, data):
    if len(set(scores)) == 1:
        scores[0] += 1
    table, step = scored([score / 4 for score in scores]), TopFraction(step="top-fraction", fraction=fraction)
    kept, removed = select(step, table)
    assert fraction * len(scores) - 1e-6 <= len(kept) < fraction * len(scores) + 1
    by_id = dict(zip(table["id"].to_pylist(), table["quality_score"].to_pylist(), strict=True))
    assert not len(removed) or min(by_id[id] for id in kept) >= max(by_id[id] for id in removed["id"].to_pylist())
    cut = data.draw(st.integers(1, len(scores) - 1))
    assert select(step, table.slice(0, cut), table.slice(cut))[0] == kept


def test_a_tenth_of_thirty_is_three():
    assert len(select(TopFraction(step="top-fraction", fraction=0.1), scored([i / 30 for i in range(30)]))[0]) == 3


def test_documents_without_a_score_stay_and_do_not_count():
    table = scored([None, None, 0.3, 0.2], ["a", "b", "b", "b"])
    assert select(TopFraction(step="top-fraction", fraction=0.5), table)[0] == ["s#00000", "s#00001", "s#00002"]


def test_a_missing_score_is_refused():
    with pytest.raises(StudyError, match="no column 'charm' to choose by"):
        TopFraction(step="top-fraction", fraction=0.5, score="charm").map(scored([0.1]), CONTEXT)


@pytest.mark.parametrize("scores", [[0.5] * 4, [0.5, 0.1, float("nan")]])
def test_constant_and_nan_scores_are_refused(scores):
    with pytest.raises(StudyError, match="can't choose in recipe 'test': 'quality_score' is between"):
        select(TopFraction(step="top-fraction", fraction=0.5), scored(scores))


def test_one_without_a_number_is_refused():
    with pytest.raises(StudyError, match="'lang' in recipe 'test': it holds string, not numbers"):
        TopFraction(step="top-fraction", fraction=0.5, score="lang").map(scored([0.1]), CONTEXT)


def test_a_threshold_for_all_and_one_for_a_domain():
    step = ScoreThreshold(step="score-threshold", minimum=0.25, maximum=0.75, minimum_by_domain={"b": 0.5})
    kept, removed = apply(step, scored([0.25, 0.125, 0.875, None, 0.25, 0.5], ["a"] * 4 + ["b"] * 2))
    assert kept["id"].to_pylist() == ["s#00000", "s#00003", "s#00005"]
    assert removed.select(["reason", "value", "threshold"]).to_pylist() == [
        {"reason": "low score", "value": 0.125, "threshold": 0.25},
        {"reason": "high score", "value": 0.875, "threshold": 0.75},
        {"reason": "low score", "value": 0.25, "threshold": 0.5},
    ]


def test_a_band_keeps_the_middle_of_each_domain():
    step = ScoreBand(step="score-band", start=0.25, end=0.75)
    kept, removed = select(step, scored([0.0, 0.25, 0.5, 0.75], "a"))
    assert kept == ["s#00001", "s#00002"]
    assert dict(zip(removed["id"].to_pylist(), removed["reason"].to_pylist(), strict=True)) == {"s#00000": "low score", "s#00003": "high score"}
    assert removed["threshold"].to_pylist() == [0.25, 0.5]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True))
def test_bands_side_by_side_share_out_the_documents(scores, cuts):
    scores[0] = 4
    edges = [0.0, *sorted(cuts), 1.0]
    bands = [ScoreBand(step="score-band", start=start, end=end) for start, end in pairwise(edges)]
    kept = [id for band in bands for id in select(band, scored([score / 4 for score in scores]))[0]]
    assert sorted(kept) == sorted(scored(scores)["id"].to_pylist())


def test_a_quota_in_documents_and_in_bytes():
    table = scored([0.1, 0.9, 0.5, 0.2, 0.3], ["a"] * 3 + ["b"] * 2)  # 6 bytes each
    assert select(DomainQuota(step="domain-quota", quotas={"a": 2}, score="quality_score"), table)[0] == ["s#00001", "s#00002", "s#00003", "s#00004"]
    in_bytes = DomainQuota(step="domain-quota", quotas={"a": 17, "b": 5}, unit="bytes", score="quality_score")
    kept, removed = select(in_bytes, table)
    assert kept == ["s#00001", "s#00002"]
    assert set(removed["reason"].to_pylist()) == {"over quota"}


def test_a_quota_without_a_score_draws_the_same_documents_whatever_the_cut():
    table, step = scored([None] * 50), DomainQuota(step="domain-quota", quotas={"d": 20}, score=None)
    kept, _ = select(step, table)
    assert len(kept) == 20
    assert select(step, table.slice(30), table.slice(0, 30))[0] == sorted(kept, key=lambda id: (id < "s#00030", id))
    state = bounds(step, replace(CONTEXT, seed=1), table)
    assert apply(step, table, replace(CONTEXT, seed=1), state).kept["id"].to_pylist() != kept


def test_a_first_draw_has_the_softmax_probabilities():
    """One document of three is drawn, in each of many domains: how often, is known."""
    scores, temperature = np.array([0.0, 1.0, 2.0]), 0.5
    domains = [f"d{i}" for i in range(3000) for _ in scores]
    step = ScoreSampling(step="score-sampling", fraction=0.3, temperature=temperature)
    kept, removed = select(step, scored(np.tile(scores, 3000).tolist(), domains))
    found = np.bincount([int(id.removeprefix("s#")) % 3 for id in kept]) / 3000
    expected = np.exp(scores / temperature)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=4 * np.sqrt(0.25 / 3000))
    assert set(removed["reason"].to_pylist()) == {"not drawn"}


def test_temperature_goes_from_the_best_to_any():
    table = scored([i / 200 for i in range(200)])
    best = select(TopFraction(step="top-fraction", fraction=0.25), table)[0]
    assert select(ScoreSampling(step="score-sampling", fraction=0.25, temperature=1e-6), table)[0] == best
    any_of_them = select(ScoreSampling(step="score-sampling", fraction=0.25, temperature=1e6), table)[0]
    assert len(any_of_them) == 50
    assert 3 < len(set(any_of_them) & set(best)) < 25


def test_steps_draw_apart_from_each_other():
    table = scored([0.5] * 1000)
    one, other = (uniform(table, CONTEXT, DomainQuota(step="domain-quota", quotas={"d": 1}), purpose) for purpose in ("a", "b"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15
    assert 0 < one.min() < 0.01
    assert 0.99 < one.max() < 1
