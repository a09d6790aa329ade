import pytest
import torch

from models.dropout import Dropout
from models.ladder import PRESETS
from models.proxy_lm import ProxyLM
from models.proxy_swarm import ProxySwarm

DEVICE = torch.device("cpu")


def test_masks_have_their_share_and_no_pattern():
    scales = Dropout(0.2, seed=1).scales((8, 64, 96), place=3, device=DEVICE)
    kept = scales > 0
    assert kept.double().mean().item() == pytest.approx(0.8, abs=0.01)
    assert scales.unique().tolist() == pytest.approx([0.0, 1.25])
    for dim in range(3):  # neighbours agree as often as chance has them agree
        agree = (kept.narrow(dim, 1, kept.shape[dim] - 1) == kept.narrow(dim, 0, kept.shape[dim] - 1)).double().mean().item()
        assert agree == pytest.approx(0.8**2 + 0.2**2, abs=0.015), dim
    others = [Dropout(0.2, seed=2).scales((8, 64, 96), 3, DEVICE), Dropout(0.2, seed=1).scales((8, 64, 96), 4, DEVICE)]
    assert all(((other > 0) == kept).double().mean().item() == pytest.approx(0.68, abs=0.015) for other in others)


def test_a_sequence_has_its_mask_in_whatever_batch_it_comes():
    """So a run is the same on any number of ranks and in any micro-batches, and goes on where it was."""
    dropout = Dropout(0.3, seed=7)
    whole = dropout.scales((6, 16, 8), 0, DEVICE)
    dropout.first_sequence = 4
    assert torch.equal(dropout.scales((2, 16, 8), 0, DEVICE), whole[4:])


def test_a_model_drops_in_training_alone_and_a_swarm_as_each_of_its_members():
    token_ids = torch.randint(0, 64, (3, 17))
    models = [ProxyLM(PRESETS["30k"], 64, seed, dropout=0.2) for seed in (1, 2)]
    swarm = ProxySwarm(PRESETS["30k"], 64, [1, 2], dropout=0.2)
    losses = []
    for first in (0, 30):
        swarm.place_dropout(first)
        for model in models:
            model.dropout.first_sequence = first
        alone = torch.stack([model(token_ids[:, :-1], token_ids[:, 1:]) for model in models])
        torch.testing.assert_close(swarm(token_ids[None, :, :-1].expand(2, -1, -1), token_ids[None, :, 1:].expand(2, -1, -1)), alone)
        losses.append(alone[0].item())
    assert losses[0] != losses[1]
    undisturbed = ProxyLM(PRESETS["30k"], 64, 1)
    assert torch.equal(models[0].eval()(token_ids), undisturbed(token_ids))
