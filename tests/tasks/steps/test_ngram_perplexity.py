from dataclasses import replace

import numpy as np
import pytest

from models.frozen import StudyError
from tasks.steps.ngram_perplexity import NgramPerplexity
from tasks.steps.reference import Reference
from tests.models.test_quality_classifier import MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

STEP = NgramPerplexity(step="ngram-perplexity", reference=Reference(domains=("rivers",)), order=3)
CORPUS = documents(texts(RIVER, 150, 0) + texts(RIVER, 50, 1) + texts(MUSIC, 50, 2) + [""], domain=["rivers"] * 150 + ["web"] * 101)


def perplexities(step, shards, directory) -> np.ndarray:
    directory.mkdir()
    context = replace(CONTEXT, directory=directory)
    state = step.reduce([step.map(shard, replace(context, shard=i)) for i, shard in enumerate(shards)], context)
    return np.concatenate([apply(step, shard, context, state).kept["perplexity"].to_numpy() for shard in shards])


def test_what_is_like_the_reference_is_less_surprising(tmp_path):
    found = perplexities(STEP, [CORPUS], tmp_path / "a")
    assert found[:150].max() < found[150:200].min() < found[150:200].max() < found[200:250].min()
    cut = perplexities(STEP, [CORPUS.slice(99), CORPUS.slice(0, 99)], tmp_path / "b")
    assert np.concatenate([cut[152:], cut[:152]]).tolist() == found.tolist()


def test_without_reference_there_is_no_model(tmp_path):
    with pytest.raises(StudyError, match="finds no reference text in recipe 'test'"):
        perplexities(STEP.model_copy(update={"reference": Reference(sources=("none",))}), [CORPUS], tmp_path / "a")
