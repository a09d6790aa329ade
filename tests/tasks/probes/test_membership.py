import numpy as np
import pytest
import torch

from tasks.probes.config import MembershipConfig
from tasks.probes.membership import MIN_K, MIN_K_PLUS_PLUS, UNREAD, Membership, min_k, normalise, token_scores
from tests.tasks.probes.overfitted_study import untrained

CONFIG = MembershipConfig(excerpt_tokens=16)


def values(overfitted, model=None) -> dict[tuple[str, str], float | None]:
    membership = Membership(CONFIG, overfitted.heldout, seed=0, batch_sequences=16)
    return {(answer.benchmark, answer.metric): answer.estimate.value for answer in membership.ask(overfitted.subject(model))}


def test_text_known_by_heart_is_told_from_held_out_text_and_unread_text_is_not(overfitted):
    found = values(overfitted)
    assert {benchmark for benchmark, _ in found} == {"membership/letters", "membership/poems"}
    for (_, metric), value in found.items():
        assert value is not None
        assert abs(value - 0.5) < 0.2 if metric.startswith(UNREAD) else value > 0.98


def test_an_untrained_model_tells_nothing(overfitted):
    assert all(value is not None and abs(value - 0.5) < 0.2 for value in values(overfitted, untrained()).values())


def test_scores_are_those_of_the_equation():
    """arXiv 2404.02936, equation 3, token by token."""
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 7, generator=generator, dtype=torch.float64), torch.tensor([0, 6, 3, 3, 1])
    nats, normalised = normalise(logits, targets)
    for row, target in enumerate(targets.tolist()):
        p = np.exp(logits[row].numpy()) / np.exp(logits[row].numpy()).sum()
        mean = sum(p * np.log(p))
        deviation = np.sqrt(sum(p * np.log(p) ** 2) - mean**2)
        assert nats[row].item() == pytest.approx(np.log(p[target]))
        assert normalised[row].item() == pytest.approx((np.log(p[target]) - mean) / deviation)


def test_a_certain_model_has_no_deviation_to_divide_by():
    _, normalised = normalise(torch.tensor([[0.0, 2000.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64), torch.tensor([1, 2]))
    assert normalised.tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_lowest_share_is_averaged():
    scores = np.array([[-5.0, -1.0, -3.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0, -1.0]])
    assert min_k(scores, 0.4).tolist() == [-4.0, -0.5]
    assert min_k(scores, 0.1).tolist() == [-5.0, -1.0]  # one token at least


def test_batches_change_nothing(overfitted):
    excerpts = overfitted.heldout.excerpts("poems", 16, 10, seed=0)
    for one, other in zip(token_scores(overfitted.model, excerpts, 3), token_scores(overfitted.model, excerpts, 10), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_excerpts_longer_than_the_context_are_cut_to_it(overfitted):
    membership = Membership(MembershipConfig(excerpt_tokens=4096), overfitted.heldout, seed=0, batch_sequences=16)
    answers = list(membership.ask(overfitted.subject()))
    assert {answer.outline.settings["excerpt_tokens"] for answer in answers} == {64}
    assert {answer.metric for answer in answers} == {MIN_K_PLUS_PLUS, MIN_K, UNREAD + MIN_K_PLUS_PLUS, UNREAD + MIN_K}
    assert all(answer.estimate.value is None for answer in answers)  # no document is as long: missing, not 0
