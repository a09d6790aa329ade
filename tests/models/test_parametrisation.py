import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from models.ladder import PRESETS, ModelShape
from models.parametrisation import parameter_groups
from models.proxy_lm import ProxyLM, export_llama
from models.training_plan import TrainingConfig

VOCAB, STEPS, RATE = 64, 4, 0.01
WIDTHS = (64, 128, 512)


def shape(width: int, tied: bool = True) -> ModelShape:
    return ModelShape(num_layers=2, d_model=width, num_heads=2, num_kv_heads=2, d_ff=width * 11 // 4, tied_embeddings=tied)


def activations_after_training(width: int, mup: bool) -> dict[str, float]:
    """Root mean squares of what the model holds after a few steps of Adam on one batch: muP's coordinate check (arXiv 2203.03466, appendix D.1)."""
    torch.manual_seed(0)
    token_ids = torch.randint(0, VOCAB, (8, 33))
    config = TrainingConfig(mup_base="100k" if mup else None, learning_rate=RATE, weight_decay=0.0)
    model = ProxyLM(shape(width), VOCAB, seed=0, mup_base=config.mup_base_shape)
    optimizer = torch.optim.AdamW(parameter_groups(model.named_parameters(), model.shape, config), betas=(0.9, 0.95))
    for group in optimizer.param_groups:
        group["lr"] = RATE * group["learning_rate_scale"]
    for _ in range(STEPS):
        model(token_ids[:, :-1], token_ids[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    held: dict[str, float] = {}

    def keep(name: str):
        return lambda _module, _inputs, output: held.update({name: output.detach().square().mean().sqrt().item()})

    last = model.layers[-1]
    for name, module in {"attention": last.self_attn, "feed-forward": last.mlp, "logits": model.lm_head}.items():  # type: ignore[dict-item]
        module.register_forward_hook(keep(name))
    model(token_ids[:, :-1])
    return held


def test_activations_keep_their_scale_over_widths_under_mup_and_not_under_the_standard():
    """PRESETS["100k"], the base, is 64 wide."""
    assert PRESETS["100k"].d_model == WIDTHS[0]
    mup, standard = ([activations_after_training(width, of_mup) for width in WIDTHS] for of_mup in (True, False))
    assert mup[0] == standard[0], "at the base's width they are one"
    for name in mup[0]:
        growth = {kind: of_kind[-1][name] / of_kind[0][name] for kind, of_kind in (("mup", mup), ("standard", standard))}
        assert 0.5 < growth["mup"] < 1.6, (name, growth)
        assert growth["standard"] > 2, (name, growth)


@pytest.mark.parametrize("tied", [True, False])
def test_an_exported_model_has_the_factors_in_its_weights(tied, tmp_path):
    model = ProxyLM(shape(128, tied), VOCAB, seed=3, mup_base=PRESETS["10k"])
    export_llama(model, tmp_path / "model", max_length=64)
    token_ids = torch.randint(0, VOCAB, (2, 40))
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tmp_path / "model")(token_ids).logits
        torch.testing.assert_close(model(token_ids), logits, atol=1e-5, rtol=1e-5)


def test_a_group_shrinks_alike_at_every_width():
    config = TrainingConfig(mup_base="100k", learning_rate=RATE, weight_decay=0.1)
    model = ProxyLM(shape(512), VOCAB, seed=0, mup_base=config.mup_base_shape)
    embedding, hidden, norms = parameter_groups(model.named_parameters(), model.shape, config)
    assert (embedding["learning_rate_scale"], hidden["learning_rate_scale"], norms["learning_rate_scale"]) == (1, 1 / 8, 1)
    assert hidden["weight_decay"] * hidden["learning_rate_scale"] == embedding["weight_decay"] == 0.1 and norms["weight_decay"] == 0
    assert sum(len(group["params"]) for group in (embedding, hidden, norms)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mup_base": "101k", "learning_rate": 0.01}, r"mup_base '101k' is not known \(did you mean"),
        ({"mup_base": "100k"}, "with mup_base the learning_rate is the best one at 100k, as a number"),
    ],
)
def test_mup_needs_a_base_and_its_rate(values, words):
    with pytest.raises(ValidationError, match=words):
        TrainingConfig.model_validate(values)
