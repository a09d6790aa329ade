from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from models.frozen import Name, StudyError
from tasks.steps.climb_clusters import ClimbClusters
from tasks.steps.clusters import Clusters, ClusterStep
from tasks.steps.pinned import pinned_sha256
from tasks.steps.pretrained import Pretrained
from tests.models.test_quality_classifier import COMMON, MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

GARDEN = ["rose", "Blüte", "spade", "hedge", "soil", "seed", "leaf", "root", "prune", "mulch"]
TOPICS = [RIVER, MUSIC, GARDEN]
CORPUS = documents([text for topic, words in enumerate(TOPICS) for text in texts(words, 120 - 30 * topic, topic)], domain="web")
TOPIC_D = np.repeat([0, 1, 2], [120, 90, 60])
STEP = Clusters(step="clusters", clusters=3, dimensions=8)


def clustered(step: ClusterStep, shards: list[pa.Table], directory) -> tuple[pa.Table, dict]:
    directory.mkdir()
    context = replace(CONTEXT, directory=directory)
    state = step.reduce([step.map(shard, replace(context, shard=i)) for i, shard in enumerate(shards)], context)
    return pa.concat_tables([apply(step, shard, context, state).kept for shard in shards]), step.record(state)


def agreement(table: pa.Table) -> float:
    """Share of documents in their topic's most frequent cluster."""
    clusters = np.array(table["cluster"].to_pylist())
    return sum(Counter(clusters[topic == TOPIC_D].tolist()).most_common(1)[0][1] for topic in range(3)) / len(clusters)


def test_topics_are_found_named_and_become_the_domains(tmp_path):
    found, record = clustered(STEP, [CORPUS], tmp_path / "a")
    assert agreement(found) > 0.97
    names = list(record["documents_learned_from"])
    assert found["domain"].to_pylist() == found["cluster"].to_pylist()
    for name, words in zip(names, TOPICS, strict=True):  # the largest first
        _, *terms = name.split("-")
        assert set(terms) <= {"blute" if word == "Blüte" else word for word in words}
        assert len(terms) == 3
    assert [name[:2] for name in names] == ["c0", "c1", "c2"]
    assert TypeAdapter(list[Name]).validate_python(names) == names  # fit for mixtures
    assert 0.2 < record["explained_variance"] < 1


def test_the_cut_changes_nothing(tmp_path):
    whole, record = clustered(STEP, [CORPUS], tmp_path / "a")
    cut, other = clustered(STEP, [CORPUS.slice(200), CORPUS.slice(0, 200)], tmp_path / "b")
    assert cut.sort_by("id").equals(whole.sort_by("id"))
    assert other == record


def test_domains_may_stay(tmp_path):
    found, _ = clustered(STEP.model_copy(update={"set_domain": False}), [CORPUS], tmp_path / "a")
    assert set(found["domain"].to_pylist()) == {"web"}
    assert len(set(found["cluster"].to_pylist())) == 3


def test_a_model_may_embed(tmp_path):
    words = sorted({"[UNK]", *(word for topic in TOPICS for word in topic), *COMMON})
    tokens = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig.from_dict(shape))
    for topic, topic_words in enumerate(TOPICS):  # as if it had learned which words go together
        model.embeddings.word_embeddings.weight.data[[words.index(word) for word in topic_words], topic] += 2
    model.save_pretrained(tmp_path / "encoder")
    PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="[UNK]").save_pretrained(tmp_path / "encoder")
    encoder = Pretrained(name=str(tmp_path / "encoder"), sha256=pinned_sha256(tmp_path / "encoder", 0))
    found, _ = clustered(STEP.model_copy(update={"encoder": encoder}), [CORPUS], tmp_path / "a")
    assert agreement(found) > 0.8


@pytest.mark.parametrize(
    ("some", "sentence"),
    [
        (["one two", "three four", "five six"] * 3 + [""], "10 documents can't be 11 clusters"),
        (["12", "!?", ""] * 5, "need words that some of the documents share"),
    ],
)
def test_what_can_not_be_clustered_is_refused(some, sentence, tmp_path):
    with pytest.raises(StudyError, match=sentence):
        clustered(STEP.model_copy(update={"clusters": 11}), [documents(some)], tmp_path / "a")


def test_equal_documents_are_one_cluster(tmp_path):
    found, _ = clustered(STEP, [documents(["alpha beta", "gamma delta"] * 10)], tmp_path / "a")
    assert len(set(found["cluster"].to_pylist())) == 2


def test_one_word_is_enough(tmp_path):
    found, _ = clustered(Clusters(step="clusters", clusters=2), [documents(["word", "", "word", "-"])], tmp_path / "a")
    first, second, *others = found["cluster"].to_pylist()
    assert first != second and others == [first, second]


def climb(score_of_topic: list[float | None], min_mean_score: float = 0.5, **settings) -> tuple[ClimbClusters, pa.Table]:
    scores = pa.array([score_of_topic[topic] for topic in TOPIC_D], pa.float32())
    fixed = {"step": "climb-clusters", "clusters": 9, "dimensions": 8, "score": "score"}
    return ClimbClusters.model_validate(fixed | settings | {"min_mean_score": min_mean_score}), CORPUS.append_column("score", scores)


def test_bad_clusters_go_and_near_ones_are_merged(tmp_path):
    step, corpus = climb([0.9, 0.1, 0.6], merged_clusters=2)
    tmp_path.joinpath("a").mkdir()
    context = replace(CONTEXT, directory=tmp_path / "a")
    state = step.reduce([step.map(corpus, context)], context)
    kept, removed = apply(step, corpus, context, state)
    topic_of = dict(zip(CORPUS["id"].to_pylist(), TOPIC_D.tolist(), strict=True))
    assert Counter(topic_of[id] for id in removed["id"].to_pylist()).most_common(1)[0][0] == 1
    assert set(removed["reason"].to_pylist()) == {"cluster of low score"} and max(removed["value"].to_pylist()) < 0.5
    clusters = Counter(zip(kept["domain"].to_pylist(), (topic_of[id] for id in kept["id"].to_pylist()), strict=True))
    (river, rivers), (garden, gardens) = clusters.most_common(2)
    assert (river[1], garden[1]) == (0, 2) and river[0] != garden[0] and rivers + gardens > 0.97 * 180
    assert river[0].startswith("c0-") and set(river[0].split("-")[1:]) <= set(RIVER)
    record = step.record(state)
    assert record["clusters_dropped"] + sum(record["clusters_merged"]) == 9 and len(record["clusters_merged"]) == 2
    assert record["documents_learned_from_dropped"] == removed.num_rows == len(CORPUS) - sum(record["documents_learned_from"].values())


def test_near_is_what_a_distance_says_and_no_score_is_no_bad_one(tmp_path):
    far, corpus = climb([None, None, 0.6], max_distance=2)
    found, _ = clustered(far, [corpus], tmp_path / "far")
    assert len(set(found["cluster"].to_pylist())) == 1 and found.num_rows == len(CORPUS)
    near, _ = climb([None, None, 0.6], max_distance=0.01)
    found, record = clustered(near, [corpus], tmp_path / "near")
    assert len(set(found["cluster"].to_pylist())) == 9 and record["clusters_merged"] == [1] * 9


def test_climbing_out_of_everything_is_refused(tmp_path):
    step, corpus = climb([0.1, 0.2, 0.3], merged_clusters=2)
    with pytest.raises(StudyError, match=r"drops all 9 clusters: their means of 'score' are at most 0.3; lower its min_mean_score 0.5"):
        clustered(step, [corpus], tmp_path / "a")
    with pytest.raises(ValueError, match="give one of them"):
        climb([0.1, 0.2, 0.3], merged_clusters=2, max_distance=1)
