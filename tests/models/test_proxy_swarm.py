"""Each member of a swarm against `ProxyLM` alone."""

import pytest
import torch

from models.ladder import PRESETS, ModelShape
from models.proxy_lm import ProxyLM
from models.proxy_swarm import ProxySwarm

GROUPED = ModelShape(num_layers=2, d_model=32, num_heads=4, num_kv_heads=2, d_ff=48, tied_embeddings=False)
VOCABULARY, STEPS, CLIP = 64, 200, 1.0


def tokens(members: int, steps: int = 1) -> torch.Tensor:
    """[steps, S, B, L + 1]; each member reads other tokens."""
    return torch.randint(0, VOCABULARY, (steps, members, 3, 17), generator=torch.Generator().manual_seed(5))


def optimizer(parameters) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def trained_alone(shape: ModelShape, seed: int, tokens_BL: torch.Tensor) -> ProxyLM:
    """tokens_BL: one batch per step."""
    model = ProxyLM(shape, VOCABULARY, seed)
    adam = optimizer(model.parameters())
    for batch in tokens_BL:
        model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous()).backward()
        torch.nn.utils.clip_grad_norm_(sorted(model.parameters(), key=lambda parameter: -parameter.dim()), CLIP)
        adam.step()
        adam.zero_grad()
    return model


def trained_together(shape: ModelShape, seeds: list[int], tokens_SBL: torch.Tensor) -> ProxySwarm:
    swarm = ProxySwarm(shape, VOCABULARY, seeds)
    adam = optimizer(swarm.parameters())
    for batch in tokens_SBL:
        swarm(batch[..., :-1], batch[..., 1:]).sum().backward()
        swarm.clip_gradients(CLIP)
        adam.step()
        adam.zero_grad()
    return swarm


@pytest.mark.parametrize("shape", [PRESETS["10k"], GROUPED], ids=["tied", "grouped-untied"])
def test_losses_and_gradients_are_those_of_each_model_alone(shape):
    [batch] = tokens(members=4)
    swarm = ProxySwarm(shape, VOCABULARY, [7, 8, 9, 7])
    losses = swarm(batch[..., :-1], batch[..., 1:])
    losses.sum().backward()
    for index, seed in enumerate([7, 8, 9, 7]):
        alone = ProxyLM(shape, VOCABULARY, seed)
        loss = alone(batch[index, :, :-1].contiguous(), batch[index, :, 1:].contiguous())
        loss.backward()
        assert losses[index].item() == pytest.approx(loss.item(), abs=1e-6)
        for name, parameter in alone.named_parameters():
            gradient = swarm.weight(name).grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_after_200_steps_each_is_what_it_would_be_alone():
    """On a CPU to the bit."""
    batches = tokens(members=3, steps=STEPS)
    swarm = trained_together(GROUPED, [1, 2, 3], batches)
    for index, seed in enumerate([1, 2, 3]):
        alone = trained_alone(GROUPED, seed, batches[:, index])
        for (name, expected), (_, parameter) in zip(alone.named_parameters(), swarm.member(index).named_parameters(), strict=True):
            assert torch.equal(parameter, expected), name


def test_how_many_are_stacked_changes_no_bit_on_a_cpu():
    batches = tokens(members=5, steps=20)
    together = trained_together(PRESETS["10k"], [1, 2, 3, 4, 5], batches)
    in_pairs = trained_together(PRESETS["10k"], [4, 5], batches[:, 3:])
    for name, parameter in together.stacked.items():
        assert torch.equal(parameter[3:], in_pairs.stacked[name])


def test_a_member_that_diverges_touches_no_other():
    batches = tokens(members=3, steps=10)
    whole = trained_together(PRESETS["10k"], [1, 2, 3], batches)
    swarm = ProxySwarm(PRESETS["10k"], VOCABULARY, [1, 2, 3])
    with torch.no_grad():
        swarm.weight("norm.weight")[1] = torch.nan
    adam = optimizer(swarm.parameters())
    for batch in batches:
        losses = swarm(batch[..., :-1], batch[..., 1:])
        losses.sum().backward()
        norms = swarm.clip_gradients(CLIP)
        adam.step()
        adam.zero_grad()
        assert losses.isfinite().tolist() == norms.isfinite().tolist() == [True, False, True]
    for name, parameter in whole.stacked.items():
        assert torch.equal(parameter[[0, 2]], swarm.stacked[name][[0, 2]])
