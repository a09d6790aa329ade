import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.benchmarks.bits_per_byte import HeldoutText, bits_per_byte, encode, window_bounds
from tasks.benchmarks.items import Document
from tests.tasks import evaluation_study

CONTEXT = 64


@pytest.fixture(scope="module")
def tokenizer():
    return evaluation_study.tokenizer()


def scored(documents, tokenizer, model, batch_sequences=16, context=CONTEXT):
    return HeldoutText(documents, tokenizer, context, batch_sequences).score(model)


@given(num_targets=st.integers(0, 300), context=st.integers(1, 70))
def test_every_token_is_scored_once_with_half_a_context_before_it(num_targets, context):
    targets = []
    for start, end, num_scored in window_bounds(num_targets, context):
        assert 0 <= start < end <= start + context
        first = end - num_scored + 1
        assert start == 0 or first - start > context // 2
        targets += range(first, end + 1)
    assert targets == list(range(1, num_targets + 1))


def plain_bits(document, tokenizer, model) -> float:
    """Token by token in fp64, each behind the window that it should see."""
    ids = [tokenizer.eos_token_id, *tokenizer.encode(document.text, add_special_tokens=False)]
    bits = 0.0
    for target in range(1, len(ids)):
        half = CONTEXT // 2
        step = max(0, math.ceil((target - CONTEXT) / half))
        end = min(CONTEXT + step * half, len(ids) - 1)  # where the first window that reaches the target ends
        start = max(0, end - CONTEXT)
        with torch.no_grad():
            logits = model.double()(torch.tensor([ids[start:target]])).logits[0, -1]
        bits -= torch.log_softmax(logits, -1)[ids[target]].item() / math.log(2)
    return bits


def test_agrees_with_a_plain_computation(tokenizer):
    documents = [document for document in evaluation_study.documents() if document.domain == "code" or document.id.endswith("1")]
    estimates = scored(documents, tokenizer, evaluation_study.model())
    exact = evaluation_study.model()
    for domain, estimate in estimates.items():
        ours = [document for document in documents if document.domain == domain]
        total_bytes = sum(len(document.text.encode()) for document in ours)
        assert estimate.value == pytest.approx(sum(plain_bits(document, tokenizer, exact) for document in ours) / total_bytes, rel=1e-6)
        assert estimate.count == len(ours)
    assert any(len(tokenizer.encode(document.text)) > 3 * CONTEXT for document in documents)  # several windows were needed
    assert list(estimates) == ["code", "dictionary", "encyclopedia"]


def test_the_batch_size_does_not_change_the_numbers(tokenizer):
    documents, model = evaluation_study.documents(), evaluation_study.model()
    one, many = (scored(documents, tokenizer, model, batch_sequences) for batch_sequences in (1, 64))
    for domain in one:
        assert one[domain].value == pytest.approx(many[domain].value, rel=1e-6)
        assert one[domain].stderr == pytest.approx(many[domain].stderr, rel=1e-6)


def test_a_document_that_spells_a_special_token_is_text(tokenizer):
    text = "<|endoftext|>"
    assert 0 not in encode(tokenizer, [text])[0]
    assert tokenizer.decode(encode(tokenizer, [text])[0]) == text


def test_a_model_without_a_finite_number_has_no_value(tokenizer):
    model = evaluation_study.model()
    model.model.norm.weight.data.fill_(math.nan)
    assert all(estimate.value is None and estimate.stderr is None for estimate in scored(evaluation_study.documents(), tokenizer, model).values())


def test_documents_without_text_have_no_value_and_do_no_harm(tokenizer):
    empty, full = Document("e", "void", ""), Document("f", "code", "a = 1")
    estimates = scored([empty, full], tokenizer, evaluation_study.model())
    assert (estimates["void"].value, estimates["void"].count) == (None, 1)
    assert estimates["code"].value is not None and estimates["code"].stderr is None


def test_standard_error_is_that_of_the_jackknife():
    generator = np.random.default_rng(0)
    num_bytes = generator.integers(100, 3000, 300)
    bits = num_bytes * generator.normal(2.0, 0.4, 300)
    estimate = bits_per_byte(bits, num_bytes)
    left_out = (bits.sum() - bits) / (num_bytes.sum() - num_bytes)
    jackknife = math.sqrt(((left_out - left_out.mean()) ** 2).sum() * 299 / 300)
    assert estimate.value == pytest.approx(bits.sum() / num_bytes.sum())
    assert estimate.stderr == pytest.approx(jackknife, rel=0.02)
