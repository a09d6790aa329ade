from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.frozen import StudyError
from models.quality_classifier import ClassifierConfig
from tasks.steps.base import draw_keys
from tasks.steps.quality import QualityClassifier
from tasks.steps.reference import Reference
from tests.models.test_quality_classifier import MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

CONFIG = ClassifierConfig(buckets=1000, min_word_count=1, epochs=20, learning_rate=0.5)
STEP = QualityClassifier(step="quality-classifier", reference_domains=("rivers",), max_documents=80, classifier=CONFIG)
CORPUS = documents(
    texts(RIVER, 150, 0) + texts(MUSIC, 300, 1) + texts(MUSIC, 30, 2),
    domain=["rivers"] * 150 + ["music"] * 300 + ["songs"] * 30,
    source=["s"] * 450 + ["t"] * 30,
)


@pytest.fixture
def context(tmp_path):
    return replace(CONTEXT, directory=tmp_path)


def fitted(step, shards, context):
    return step.reduce([step.map(shard, replace(context, shard=i)) for i, shard in enumerate(shards)], context)


def test_scores_every_document_and_reports(context):
    state = fitted(STEP, [CORPUS], context)
    scores = apply(STEP, CORPUS, context, state).kept["quality_score"].to_pylist()
    assert sum(score > 0.5 for score in scores[:150]) > 140
    assert sum(score < 0.5 for score in scores[150:]) > 310
    record = STEP.record(state)
    assert record["auc"] > 0.9
    assert set(record["auc_by_group"]) == {"music", "songs"}
    assert record["num_heldout"] == 32  # a fifth of 80 of each kind


def test_small_domains_are_drawn_whole_and_large_ones_fill_up(context):
    drawn = STEP.model_copy(update={"max_documents": 100}).draw([STEP.model_copy(update={"max_documents": 100}).map(CORPUS, context)])
    counts = {domain: drawn["domain"].to_list().count(domain) for domain in ("rivers", "music", "songs")}
    assert counts == {"rivers": 100, "music": 70, "songs": 30}


def test_the_cut_and_the_order_of_shards_change_no_byte_of_the_model(context, tmp_path):
    model = fitted(STEP, [CORPUS], context).model.read_bytes()
    for folder, shards in (("b", [CORPUS.slice(0, 7), CORPUS.slice(7)]), ("c", [CORPUS.slice(200), CORPUS.slice(0, 200)])):
        directory = tmp_path / folder
        directory.mkdir()
        assert fitted(STEP, shards, replace(context, directory=directory)).model.read_bytes() == model


def test_a_reference_may_be_a_source(context):
    by_source = QualityClassifier(step="quality-classifier", reference_sources=("s",), classifier=CONFIG)
    with pytest.raises(StudyError, match="there are 30 reference, 30 other"):
        fitted(by_source, [CORPUS], context)
    with pytest.raises(StudyError, match="there are 0 reference, 0 other"):
        fitted(QualityClassifier(step="quality-classifier", reference_domains=("nowhere",)), [CORPUS], context)


def test_several_classes_have_a_column_each(context):
    step = STEP.model_copy(
        update={"reference_domains": (), "classes": {"wet": Reference(domains=("rivers",)), "sung-well": Reference(sources=("t",))}}
    )
    corpus = CORPUS.take([*range(100), *range(150, 250), *range(300, 480)]).set_column(2, CORPUS.schema.field("source"), [["s"] * 300 + ["t"] * 80])
    kept = apply(step, corpus, context, fitted(step, [corpus], context)).kept
    assert kept.column_names[-3:] == ["quality_score", "quality_score_wet", "quality_score_sung_well"]
    assert np.mean(kept["quality_score_wet"].to_numpy()[:100]) > 0.8
    both = Reference(domains=("music",), sources=("s",))
    with pytest.raises(StudyError, match="can't learn from document 's#00000' in recipe 'test': it is of the classes 'wet' and 'dry'"):
        fitted(step.model_copy(update={"classes": {"wet": Reference(domains=("rivers",)), "dry": both}}), [corpus], context)


def test_a_reference_is_needed():
    with pytest.raises(ValidationError, match="needs reference_domains or reference_sources"):
        QualityClassifier(step="quality-classifier")


def test_draw_keys_depend_on_id_and_seed_alone():
    keys = draw_keys(CORPUS, 0)
    assert (draw_keys(CORPUS.slice(9, 5), 0) == keys[9:14]).all()
    assert len(set(keys.tolist())) == CORPUS.num_rows
    assert not (draw_keys(CORPUS, -1) == keys).any()
    assert isinstance(CORPUS, pa.Table)
