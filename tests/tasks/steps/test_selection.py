import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frozen import StudyError
from tasks.steps.selection import TopFraction
from tests.tasks.steps.some_documents import CONTEXT, apply, documents


def scored(scores: list[float | None], domain: str | list[str] = "d") -> pa.Table:
    return documents([f"text {i}" for i in range(len(scores))], domain=domain, quality_score=pa.array(scores, pa.float32()).cast(pa.float32()))


def select(step: TopFraction, *shards: pa.Table) -> tuple[list[str], pa.Table]:
    state = step.reduce([step.map(shard, CONTEXT) for shard in shards], CONTEXT)
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
