import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.ladder import PRESETS
from models.proxy_lm import ProxyLM
from models.weight_hooks.validation import Validation, without_validation

T, VOCAB = 8, 50
TOKENS = {"b": np.arange(100, dtype=np.uint16) % VOCAB, "a": np.arange(60, dtype=np.uint16)[::-1] % VOCAB}


def test_each_domains_last_sequences_are_withheld_and_the_rest_is_trained_on():
    kept = without_validation(TOKENS, 3, T)
    validation = Validation(TOKENS, 3, T, VOCAB, rank=0, ranks=1)
    [sequences] = validation.mine
    assert sequences.shape == (6, T + 1)
    for domain, rows in (("a", sequences[:3]), ("b", sequences[3:])):
        joined = np.concatenate([kept[domain], rows[:, 1:].flatten()])  # the first token of a sequence is predicted by the one before
        assert (joined == TOKENS[domain]).all()
    assert without_validation(TOKENS, 0, T).keys() == TOKENS.keys()
    with pytest.raises(ValueError, match=r"'a' has 60 tokens, and withholding 4 sequences of 8 would leave less than half"):
        without_validation(TOKENS, 4, T)


def test_losses_are_the_models_and_the_same_to_the_bit_however_many_ranks_share_them(monkeypatch):
    monkeypatch.setattr("models.weight_hooks.validation.SEQUENCES_AT_ONCE", 2)
    model = ProxyLM(PRESETS["10k"], VOCAB, seed=1)
    device = torch.device("cpu")
    found = []
    for ranks in (1, 2, 4):
        shares = [Validation(TOKENS, 3, T, VOCAB, rank, ranks) for rank in range(ranks)]
        assert len({len(share.mine) for share in shares}) == 1, "all ranks do as many forward passes"
        means = sum(share.sequence_means(share.token_losses(model, device)) for share in shares)
        assert isinstance(means, torch.Tensor)
        found.append(shares[0].by_domain(means))
    assert found[0] == found[1] == found[2]
    for domain, loss in found[0].items():
        sequences = torch.from_numpy(TOKENS[domain][-(3 * T + 1) :].astype(np.int64)).unfold(0, T + 1, T)
        expected = F.cross_entropy(model(sequences[:, :-1]).flatten(0, 1), sequences[:, 1:].flatten())
        assert loss == pytest.approx(expected.item(), abs=1e-6)
    assert model.training
