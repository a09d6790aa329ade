"""Hugging Face models that these tests make themselves, tiny and untrained, saved and loaded as any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.frozen import StudyError
from tasks.steps.huggingface_classifier import HuggingFaceClassifier
from tasks.steps.model_perplexity import ModelPerplexity
from tasks.steps.pinned import pinned_sha256
from tasks.steps.pretrained import Pretrained
from tests.tasks.steps.some_documents import apply, documents

WORDS = ["[PAD]", "[UNK]", "the", "river", "flows", "violin", "plays", "a", "song"]
TEXTS = ["the river flows", "a violin plays a song the river", "the", "unheard words", "river " * 50]
TABLE = documents(TEXTS)
SHAPE: dict[str, Any] = {"vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """classifier/ with two labels, regression/, lm/"""
    folder = tmp_path_factory.mktemp("models")
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    labels: dict[str, Any] = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    made = {
        "classifier": BertForSequenceClassification(BertConfig(**SHAPE, max_position_embeddings=64, **labels)),
        "regression": BertForSequenceClassification(BertConfig(**SHAPE, max_position_embeddings=64, id2label={0: "value"})),
        "lm": LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2, max_position_embeddings=64)),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def pinned(path: Path) -> Pretrained:
    return Pretrained(name=str(path), sha256=pinned_sha256(path, 0))


def logits(path: Path, text: str) -> np.ndarray:
    ids = [WORDS.index(word) if word in WORDS else 1 for word in text.split()][:8]
    return BertForSequenceClassification.from_pretrained(path).eval()(input_ids=torch.tensor([ids])).logits[0].detach().numpy()


def test_a_classifiers_score_is_the_probability_of_the_label(folder):
    step = HuggingFaceClassifier(step="huggingface-classifier", model=pinned(folder / "classifier"), label="good", max_tokens=8)
    scores = apply(step, TABLE).kept["classifier_score"].to_numpy()
    expected = [1 / (1 + np.exp(-np.diff(logits(folder / "classifier", text))[0])) for text in TEXTS]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert apply(step, TABLE.slice(3)).kept["classifier_score"].to_pylist() == scores[3:].tolist()  # to the bit, whatever the cut


def test_a_regressions_score_is_its_value(folder):
    step = HuggingFaceClassifier(step="huggingface-classifier", model=pinned(folder / "regression"), output="quality", max_tokens=8)
    np.testing.assert_allclose(apply(step, TABLE).kept["quality"].to_numpy(), [logits(folder / "regression", text)[0] for text in TEXTS], rtol=1e-4)


def test_perplexity_is_of_the_tokens_behind_the_first(folder):
    step = ModelPerplexity(step="model-perplexity", model=pinned(folder / "lm"), max_tokens=64)
    found = apply(step, TABLE).kept["perplexity"].to_pylist()
    ids = torch.tensor([[WORDS.index(word) for word in TEXTS[0].split()]])
    log_p = LlamaForCausalLM.from_pretrained(folder / "lm").eval()(input_ids=ids).logits[0].detach().log_softmax(-1)
    assert found[0] == pytest.approx(np.exp(-(log_p[0, ids[0, 1]] + log_p[1, ids[0, 2]]).item() / 2), rel=1e-5)
    assert found[2] is None  # one token


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        ("classifier", {"label": "god"}, r"has no label 'god' \(did you mean 'good'\?\); it has bad, good"),
        ("regression", {"label": "good"}, "is a regression with one output and has no label 'good'"),
        ("classifier", {"label": "good", "model": {"name": "some/model"}}, "there is no folder 'some/model', .* needs its `revision`"),
        ("classifier", {"label": "good", "model": {"name": "some/model", "revision": "main"}}, "40 hexadecimal digits, not main"),
        ("classifier", {"label": "good", "model": {"name": "some/model", "revision": "0" * 40}}, "'some/model' can't be loaded as AutoModel"),
        ("lm", {"label": "good"}, "was not trained as AutoModelForSequenceClassification"),
    ],
)
def test_what_can_not_score_is_one_sentence(folder, step, settings, sentence, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = {"step": "huggingface-classifier", "model": pinned(folder / step)} | settings
    with pytest.raises(StudyError, match=sentence):
        apply(HuggingFaceClassifier.model_validate(settings), TABLE)


def test_a_changed_folder_is_refused(folder, tmp_path):
    unpinned = HuggingFaceClassifier(step="huggingface-classifier", model=Pretrained(name=str(folder / "classifier")), label="good")
    with pytest.raises(StudyError, match=rf"write `sha256: {pinned_sha256(folder / 'classifier', 0)}` beside it"):
        apply(unpinned, TABLE)


def test_a_model_reads_no_more_than_it_can(folder):
    with pytest.raises(StudyError, match="reads 64 tokens at most, not 512"):
        apply(ModelPerplexity(step="model-perplexity", model=pinned(folder / "lm")), TABLE)
