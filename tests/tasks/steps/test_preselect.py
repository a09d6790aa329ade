import random
from dataclasses import replace

import polars as pl
import pytest

from models.frozen import StudyError
from models.quality_classifier import ClassifierConfig
from tasks.steps.pinned import PinnedFile, pinned_sha256
from tasks.steps.preselect import PreSelect, _strengths
from tests.models.test_quality_classifier import MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

CORPUS = documents(texts(RIVER, 150, 0) + texts(MUSIC, 150, 1))
MODELS = ("small", "middle", "large")


def losses_of_corpus() -> pl.DataFrame:
    """On texts about rivers the larger model has the lower loss, on those about music never all the way."""
    draw = random.Random(0)
    rows = []
    for i, id in enumerate(CORPUS["id"].to_pylist()):
        losses = [3.0, 2.0, 1.0] if i < 150 else draw.choice([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [1.0, 3.0, 2.0], [3.0, 1.0, 2.0]])
        rows += [{"id": id, "model": model, "loss": loss} for model, loss in zip(MODELS, losses, strict=True)]
    return pl.DataFrame(rows)


@pytest.fixture
def step(tmp_path):
    path = tmp_path / "losses.csv"
    losses_of_corpus().write_csv(path)
    config = ClassifierConfig(buckets=1000, min_word_count=1, epochs=20, learning_rate=0.5)
    losses = PinnedFile(path=str(path), sha256=pinned_sha256(path, 0))
    return PreSelect(step="preselect", losses=losses, models=MODELS, share=0.3, classifier=config)


def test_what_predicts_is_told_from_what_does_not(step, tmp_path):
    context = replace(CONTEXT, directory=tmp_path)
    shards = [CORPUS.slice(0, 40), CORPUS.slice(40)]
    state = step.reduce([step.map(shard, replace(context, shard=i)) for i, shard in enumerate(shards)], context)
    scores = apply(step, CORPUS, context, state).kept["preselect_score"].to_pylist()
    assert sum(score > 0.5 for score in scores[:150]) > 140
    assert sum(score < 0.5 for score in scores[150:]) > 140
    record = step.record(state)
    assert record["auc"] > 0.9
    assert record["documents_with_losses"] == 300
    assert record["lowest_strength_learned_as_strong"] == 1
    other = tmp_path / "other"
    other.mkdir()
    whole = step.reduce([step.map(CORPUS, replace(context, directory=other))], replace(context, directory=other))
    assert whole.model.read_bytes() == state.model.read_bytes()


def test_strength_is_the_share_of_pairs_in_order(tmp_path):
    """Equation 2 by hand: of (3, 2, 1) all three pairs, of (3, 1, 2) two, of (1, 2, 3) none; ties count for nothing."""
    table = pl.DataFrame({"id": ["a", "b", "c", "d"], "small": [3, 3, 1, 1], "middle": [2, 1, 2, 1], "large": [1, 2, 3, None]})
    long = table.unpivot(index="id", variable_name="model", value_name="loss").drop_nulls()
    long.write_parquet(tmp_path / "losses.parquet")
    found = _strengths(tmp_path / "losses.parquet", MODELS, "here").sort("id")
    assert found["strength"].to_list() == pytest.approx([1, 2 / 3, 0])
    assert found["id"].to_list() == ["a", "b", "c"]  # d lacks a loss


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table.rename({"loss": "bits"}), "has no column 'loss'; it has id, model, bits"),
        (lambda table: table.filter(pl.col("model") != "large"), "has no losses of model 'large'"),
        (lambda table: pl.concat([table, table.head(1)]), "more than one loss of the same document and model"),
        (lambda table: table.with_columns(loss=pl.lit(float("inf"))), "losses that are no finite numbers"),
        (lambda table: table.with_columns(loss=pl.lit(1.0)), "finds no 90 strong and 90 weak documents .* have the strength 0.000"),
        (lambda table: table.with_columns(id=pl.lit("x") + pl.col("id")), "there are 0"),
    ],
)
def test_a_table_that_can_not_serve_is_refused(step, change, sentence, tmp_path):
    path = tmp_path / "changed.csv"
    change(losses_of_corpus()).write_csv(path)
    changed = step.model_copy(update={"losses": PinnedFile(path=str(path), sha256=pinned_sha256(path, 0))})
    context = replace(CONTEXT, directory=tmp_path)
    with pytest.raises(StudyError, match=sentence):
        changed.reduce([changed.map(CORPUS, context)], context)


def test_a_file_is_pinned(step, tmp_path):
    with pytest.raises(StudyError, match=r"there is nothing at 'nowhere\.csv'"):
        PinnedFile(path="nowhere.csv").at("here")
    found = step.losses.sha256
    with pytest.raises(StudyError, match=f"no sha256 tells which file is meant: write `sha256: {found}` beside it"):
        PinnedFile(path=step.losses.path).at("here")
    with pytest.raises(StudyError, match="the sha256 is not 00"):
        PinnedFile(path=step.losses.path, sha256="00").at("here")
