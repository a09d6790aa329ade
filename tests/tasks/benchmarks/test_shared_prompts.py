import random

import pytest
import torch

from tasks.benchmarks.shared_prompts import Row, log_likelihoods, rows_of
from tests.tasks import evaluation_study

CONTEXT = 24


@pytest.fixture(scope="module")
def model():
    return evaluation_study.model(context=CONTEXT)


def alone(model, prompt: list[int], continuation: list[int]) -> tuple[float, bool]:
    """In a forward pass of its own, a prompt that is too long cut on the left."""
    ids = (prompt + continuation)[-(CONTEXT + 1) :]
    with torch.no_grad():
        log_probabilities = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits[0].double(), -1)[-len(continuation) :]
    return sum(log_probabilities[i, token].item() for i, token in enumerate(continuation)), log_probabilities.argmax(-1).tolist() == continuation


@pytest.mark.parametrize("batch_rows", [1, 3, 16])
def test_likelihoods_are_those_of_separate_passes(model, batch_rows):
    chance = random.Random(0)
    requests = []
    for length in (1, 2, 7, 15, 22, 23, 24, 40):  # the longest don't fit
        prompt = chance.choices(range(320), k=length)
        requests += [(prompt, chance.choices(range(320), k=size)) for size in (1, 2, 1, 4, 9)]
    requests += [requests[3], (requests[3][0], requests[3][1][:1])]  # asked twice, and one that begins like another
    chance.shuffle(requests)
    assert any(len(row.continuations) > 1 for row in rows_of({(tuple(p), tuple(c)): i for i, (p, c) in enumerate(requests)}))
    for (nats, likeliest), (prompt, continuation) in zip(log_likelihoods(model, requests, CONTEXT, batch_rows), requests, strict=True):
        expected, is_likeliest = alone(model, prompt, continuation)
        assert nats == pytest.approx(expected, abs=1e-4) and likeliest == is_likeliest


def test_the_likeliest_continuation_is_found(model):
    with torch.no_grad():
        likeliest = model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3, do_sample=False)[0, 3:].tolist()
    found = log_likelihoods(model, [([5, 6, 7], likeliest), ([5, 6, 7], [*likeliest[:2], (likeliest[2] + 1) % 320])], CONTEXT, 4)
    assert [greedy for _, greedy in found] == [True, False]


def test_prompts_are_shared_where_that_saves_work():
    long, short = tuple(range(20)), (1,)
    choices = [(2, 3, 4), (5, 6, 7), (8,), (9, 10)]
    (row,) = rows_of({(long, choice): number for number, choice in enumerate(choices)})
    assert row == Row(long, list(enumerate(choices))) and row.length == 20 + 2 + 2 + 0 + 1
    assert len(list(rows_of({(short, choice): number for number, choice in enumerate(choices)}))) == 4


def test_nothing_is_asked_of_no_requests(model):
    assert log_likelihoods(model, [], CONTEXT, 4) == []
