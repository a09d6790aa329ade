import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.frozen import StudyError
from models.ladder import PRESETS
from models.llama_config import read_llama_config
from models.llama_weights import load_llama
from models.proxy_lm import ProxyLM, export_llama

VOCAB = 128


def write_llama(directory: Path, max_shard_size: str = "1GB", **changes: object) -> LlamaForCausalLM:
    values = {"vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6}
    llama = LlamaForCausalLM(LlamaConfig(**(values | {"num_key_value_heads": 2, "rms_norm_eps": 1e-6} | changes)))  # type: ignore[arg-type]
    llama.save_pretrained(directory, max_shard_size=max_shard_size)
    return llama


def loaded(directory: Path) -> ProxyLM:
    config = read_llama_config(directory)
    model = ProxyLM(config.shape, config.vocab_size, seed=0)
    load_llama(model, directory)
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 6},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    ],
    ids=["tied", "untied", "all heads", "another base"],
)
def test_a_llama_of_transformers_has_the_same_logits_here(changes, tmp_path):
    llama = write_llama(tmp_path, **changes)
    token_ids = torch.randint(0, VOCAB, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(loaded(tmp_path)(token_ids), llama(token_ids).logits, atol=1e-5, rtol=1e-5)


def test_what_is_exported_is_what_is_loaded_also_from_several_files(tmp_path):
    model = ProxyLM(PRESETS["30k"], VOCAB, seed=5)
    export_llama(model, tmp_path / "one", max_length=64)
    again = loaded(tmp_path / "one")
    assert again.shape == model.shape
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(again.parameters(), model.parameters(), strict=True))
    llama = write_llama(tmp_path / "several", max_shard_size="50KB")
    assert len(list((tmp_path / "several").glob("*.safetensors"))) > 1
    assert torch.equal(loaded(tmp_path / "several").layers[2].mlp.up_proj.weight, llama.model.layers[2].mlp.up_proj.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention_bias": True}, "attention_bias is True, which our transformer does not have"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"model_type": "mistral", "sliding_window": 4096}, "sliding_window is 4096"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}, r"its rotary positions are scaled \('llama3'\)"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, r"its rotary positions are scaled \('linear'\)"),
        ({"head_dim": 16}, "6 heads of 16 are not hidden_size 48"),
        ({"model_type": "gpt2"}, r"a run starts from a Llama \(model_type llama or mistral\), and this is 'gpt2'"),
        ({"num_key_value_heads": 4}, "num_heads 6 must be a multiple of num_kv_heads 4"),
    ],
)
def test_what_our_transformer_cannot_hold_is_refused_in_a_sentence(changes, words, tmp_path):
    write_llama(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(StudyError, match=words):
        read_llama_config(tmp_path)


def test_weights_that_are_not_those_of_the_configuration_are_refused(tmp_path):
    with pytest.raises(StudyError, match="There is no model in"):
        read_llama_config(tmp_path)
    write_llama(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for changes, words in (
        ({"num_hidden_layers": 2}, r"has no 'model\.layers\.2"),
        ({"num_hidden_layers": 4}, "lacks 'layers.3"),
        ({"vocab_size": 99}, "by config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(StudyError, match=words):
            loaded(tmp_path)
