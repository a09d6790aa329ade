import numpy as np
import pytest
import torch

from models.frozen import StudyError
from tasks.benchmarks.estimate import Estimate
from tasks.probes.config import ExtractionConfig
from tasks.probes.extraction import Extraction
from tasks.probes.generation import generate
from tests.tasks.probes.overfitted_study import untrained

CONFIG = ExtractionConfig(prompt_tokens=8, continuation_tokens=8)


def answers(overfitted, model=None, config=CONFIG):
    extraction = Extraction(config, overfitted.heldout, seed=0, batch_sequences=16)
    return {(answer.benchmark, answer.metric): answer.estimate for answer in extraction.ask(overfitted.subject(model))}


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def test_text_known_by_heart_is_told_and_held_out_text_is_not(overfitted):
    found = answers(overfitted)
    for domain in ("letters", "poems"):
        of_domain = {metric: estimate for (benchmark, metric), estimate in found.items() if benchmark == f"extraction/{domain}"}
        assert value(of_domain["exact_share"]) > 0.9
        assert value(of_domain["matching_tokens"]) > 7
        assert value(of_domain["heldout_exact_share"]) == 0
        assert value(of_domain["heldout_matching_tokens"]) < 0.5
        assert of_domain["heldout_exact_share"].count > 30


def test_an_untrained_model_tells_neither(overfitted):
    assert all(value(estimate) < 0.5 for estimate in answers(overfitted, untrained()).values())


def test_matching_tokens_end_at_the_first_that_differs(overfitted, monkeypatch):
    truth = {tuple(row[:9]): row[9:] for domain in ("letters", "poems") for row in overfitted.heldout.excerpts(domain, 16, 99, seed=0).tolist()}

    def all_but_the_fourth(model, prompts, *_):
        told = np.array([truth.get(tuple(prompt), [0] * 8) for prompt in prompts.tolist()])
        told[:, 3] += 1
        return told

    monkeypatch.setattr("tasks.probes.extraction.generate", all_but_the_fourth)
    found = answers(overfitted)
    assert found["extraction/poems", "heldout_matching_tokens"].value == 3
    assert found["extraction/poems", "heldout_exact_share"].value == 0


def test_no_document_of_the_length_is_missing_and_not_zero(overfitted):
    found = answers(overfitted, config=ExtractionConfig(prompt_tokens=32, continuation_tokens=32))
    assert {(estimate.value, estimate.count) for estimate in found.values()} == {(None, 0)}


def test_more_than_the_context_is_refused(overfitted):
    with pytest.raises(
        StudyError, match=r"probes.extraction asks for prompts of 60 tokens and continuations of 8, together more than .* context of 64"
    ):
        answers(overfitted, config=ExtractionConfig(prompt_tokens=60, continuation_tokens=8))


def test_generation_is_the_likeliest_token_each_time(overfitted):
    """As without batches and cached keys and values."""
    prompts = overfitted.heldout.excerpts("poems", 8, 5, seed=0)
    written = generate(overfitted.model, prompts, 12, end_of_text=0, batch_sequences=2)
    for prompt, continuation in zip(prompts.tolist(), written.tolist(), strict=True):
        tokens = list(prompt)
        while len(tokens) < len(prompt) + 12:
            with torch.inference_mode():
                tokens.append(int(overfitted.model(torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] == 0:
                tokens += [0] * (len(prompt) + 12 - len(tokens))
        assert continuation == tokens[len(prompt) :]


def test_sampling_is_decided_by_its_seed_alone(overfitted):
    model, prompts = untrained(), overfitted.heldout.excerpts("poems", 8, 5, seed=0)

    def sample(seed: int) -> list:
        return generate(model, prompts, 12, end_of_text=0, batch_sequences=2, temperature=1.0, seed=seed).tolist()

    first = sample(0)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert sample(0) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sample(1) != first
