import torch
from safetensors.torch import load_file

from models.ladder import PRESETS
from models.model_average import average_models
from models.proxy_lm import ProxyLM, export_llama


def test_the_mean_of_models_is_a_model_of_their_mean_weights(tmp_path):
    models = [ProxyLM(PRESETS["10k"], 64, seed) for seed in range(3)]
    for seed, model in enumerate(models):
        export_llama(model, tmp_path / str(seed), max_length=32)
    (mean := tmp_path / "mean").mkdir()
    average_models([tmp_path / str(seed) for seed in range(3)], mean)
    assert (mean / "config.json").read_bytes() == (tmp_path / "0" / "config.json").read_bytes()
    weights = load_file(mean / "model.safetensors")
    assert weights.keys() == load_file(tmp_path / "0" / "model.safetensors").keys()
    expected = torch.stack([model.embed_tokens.weight.detach().double() for model in models]).mean(0)
    assert torch.equal(weights["model.embed_tokens.weight"], expected.float())
