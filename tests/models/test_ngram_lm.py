import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ngram_lm import END, UNKNOWN, NgramModel, estimate

A, B, C, D = (np.uint64(n) for n in (11, 22, 33, 44))
WORDS = st.lists(st.sampled_from([A, B, C, D]), max_size=8)


def text(*words: np.uint64) -> np.ndarray:
    return np.array(words, np.uint64)


def probability(model: NgramModel, context: np.ndarray, word: np.uint64) -> float:
    """Of the word (or the end) behind the context, from the beginning of a text on."""
    words = context if word == END else np.append(context, np.uint64(99) if word == UNKNOWN else word)
    return float(np.exp(model.log_probabilities([words])[len(context)]))


def test_a_bigram_model_by_hand():
    """Of "a b", "a b" and "a c", with the fallback discounts 0.5, 1, 1.5 (no bigram comes four times).

    Different words before: a 1 (the beginning), b 1, c 1, end 2 (b and c): 5 in all. D_1 = 0.5 of a, b and c, D_2 = 1 of the end: gamma is
    (3 x 0.5 + 1) / 5 = 0.5, on 1/5 for each of a, b, c, the end and the unknown word.
    """
    model = estimate([text(A, B), text(A, B), text(A, C)], order=2, min_word_count=1)
    unigram_b, unigram_end = (1 - 0.5) / 5 + 0.5 / 5, (2 - 1) / 5 + 0.5 / 5
    assert probability(model, text(A), B) == pytest.approx((2 - 1) / 3 + (1 + 0.5) / 3 * unigram_b)
    assert probability(model, text(), A) == pytest.approx((3 - 1.5) / 3 + 1.5 / 3 * unigram_b)
    assert probability(model, text(A, B), END) == pytest.approx((2 - 1) / 2 + 1 / 2 * unigram_end)
    assert probability(model, text(UNKNOWN), B) == pytest.approx(unigram_b)  # nothing is known of what follows it
    assert probability(model, text(A), UNKNOWN) == pytest.approx((1 + 0.5) / 3 * 0.5 / 5)


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=30), WORDS, st.integers(1, 4), st.integers(1, 2))
def test_probabilities_of_all_words_sum_to_one_behind_any_context(texts, context, order, min_word_count):
    model = estimate([text(*words) for words in texts], order, min_word_count)
    everything = [*model.vocabulary, END, UNKNOWN]
    assert sum(probability(model, text(*context), word) for word in everything) == pytest.approx(1)
    assert min(probability(model, text(*context), word) for word in everything) > 0


def test_discounts_come_from_counts_of_counts():
    draw = np.random.default_rng(0)
    texts = [draw.zipf(1.5, 40).clip(max=300).astype(np.uint64) for _ in range(300)]
    model = estimate(texts, 3, 1)
    perplexities = [np.exp(-estimate(texts, order, 1).log_probabilities(texts).mean()) for order in (1, 2, 3)]
    assert perplexities == sorted(perplexities, reverse=True)  # on its own text a longer memory is surer
    words, counts = np.unique(np.concatenate(texts), return_counts=True)
    assert len(model.orders[0].key_G) == len(words) + 1
    assert counts.sum() == 12_000


@settings(deadline=None, max_examples=30)
@given(st.lists(WORDS, min_size=1, max_size=10))
def test_a_text_among_others_has_what_it_has_alone(texts):
    texts = [text(*words) for words in texts]
    model = estimate(texts, 3, 1)
    alone = [model.log_probabilities([words]).tolist() for words in texts]
    assert model.log_probabilities(texts).tolist() == [value for values in alone for value in values]


def test_the_order_of_texts_changes_no_bit():
    draw = np.random.default_rng(1)
    texts = [draw.integers(0, 50, 30).astype(np.uint64) for _ in range(100)]
    one, other = estimate(texts, 3, 2), estimate(texts[::-1], 3, 2)
    for mine, theirs in zip(one.orders, other.orders, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(mine, theirs, strict=True))
