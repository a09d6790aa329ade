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
from tasks.steps.clusters import Clusters
from tasks.steps.pinned import pinned_sha256
from tasks.steps.pretrained import Pretrained
from tests.models.test_quality_classifier import COMMON, MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

GARDEN = ["rose", "Blüte", "spade", "hedge", "soil", "seed", "leaf", "root", "prune", "mulch"]
TOPICS = [RIVER, MUSIC, GARDEN]
CORPUS = documents([text for topic, words in enumerate(TOPICS) for text in texts(words, 120 - 30 * topic, topic)], domain="web")
TOPIC_D = np.repeat([0, 1, 2], [120, 90, 60])
STEP = Clusters(step="clusters", clusters=3, dimensions=8)


def clustered(step: Clusters, shards: list[pa.Table], directory) -> tuple[pa.Table, dict]:
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
