import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.frozen import StudyError
from tasks.steps.dsir import Dsir
from tasks.steps.reference import Reference
from tasks.steps.sampling import ScoreSampling
from tests.models.test_quality_classifier import MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents, on_any_texts

STEP = Dsir(step="dsir", target=Reference(domains=("rivers",)), buckets=1 << 20)  # so many that no two n-grams here share one
CORPUS = documents(texts(RIVER, 40, 0) + texts(MUSIC, 200, 1) + texts(RIVER, 60, 2), domain=["rivers"] * 40 + ["web"] * 260)


def weighed(step: Dsir, *shards: pa.Table) -> pa.Table:
    state = step.reduce([step.map(shard, CONTEXT) for shard in shards], CONTEXT)
    return pa.concat_tables([apply(step, shard, CONTEXT, state).kept for shard in shards])


def test_the_weight_is_the_sum_of_log_ratios_of_all_ngrams():
    def ngrams(text: str) -> Counter:
        words = text.replace("!", " ! ").lower().split()
        return Counter([*words, *itertools.pairwise(words)])

    table = documents(["The river! The", "the a a river", "a song"], domain=["rivers", "web", "web"])
    p, q = ngrams("The river! The"), ngrams("the a a river") + ngrams("a song")
    total_p, total_q = (sum(counts.values()) + STEP.buckets for counts in (p, q))
    expected = [
        sum(count * math.log((p[gram] + 1) / total_p / ((q[gram] + 1) / total_q)) for gram, count in ngrams(text).items())
        for text in table["text"].to_pylist()
    ]
    np.testing.assert_allclose(weighed(STEP, table)["log_importance"].to_numpy(), expected, rtol=1e-9)


def test_the_draw_becomes_like_the_target_and_the_cut_changes_no_bit(tmp_path: Path):
    whole = weighed(STEP, CORPUS)
    assert weighed(STEP, CORPUS.slice(77), CORPUS.slice(0, 77)).sort_by("id").equals(whole)
    sampling = ScoreSampling(step="score-sampling", score="log_importance", fraction=0.2, skip_domains=("rivers",))
    context = replace(CONTEXT, directory=tmp_path)
    state = sampling.reduce([sampling.map(whole.slice(40), context)], context)
    drawn = apply(sampling, whole, context, state).kept["id"].to_pylist()[40:]
    assert sum(id >= "s#00240" for id in drawn) > 0.95 * len(drawn) == 0.95 * 52


def test_a_target_of_nothing_or_of_all_is_refused():
    with pytest.raises(StudyError, match="dsir finds no word in the target documents of recipe 'test'"):
        weighed(STEP.model_copy(update={"target": Reference(domains=("nowhere",))}), CORPUS)
    with pytest.raises(StudyError, match="dsir finds no word in the other documents"):
        weighed(STEP.model_copy(update={"target": Reference(sources=("s",))}), CORPUS)


@on_any_texts
def test_any_text_has_a_weight(some):
    table = documents(["a river", "a song", *some], domain=["rivers"] + ["web"] * (len(some) + 1))
    assert np.isfinite(weighed(STEP.model_copy(update={"buckets": 100}), table)["log_importance"].to_numpy()).all()
