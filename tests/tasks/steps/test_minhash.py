import hashlib
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.steps import segments
from tasks.steps.lsh import band_keys, detection_probability
from tasks.steps.minhash import signatures, similarity
from tests.tasks.steps.similar_texts import pairs_of_similarity

WORDS = st.text(st.characters(exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=40)
TEXTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=12)
NUM_PERMUTATIONS = 112


def shingles(text: str, ngram_words: int) -> set[tuple[str, ...]]:
    words = text.split(" ") if text else []
    return {tuple(words[i : i + ngram_words]) for i in range(max(len(words) - ngram_words, 0) + 1)}


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.integers(1, 6))
def test_equal_minima_mean_equal_sets_of_ngrams_and_the_other_way_round(texts, ngram_words):
    found = signatures(texts, ngram_words, 32)
    for one, two in ((a, b) for a in range(len(texts)) for b in range(a)):
        sets = shingles(texts[one], ngram_words), shingles(texts[two], ngram_words)
        estimate = similarity(found[[one]], found[[two]])[0]
        if sets[0] == sets[1]:
            assert estimate == 1
        elif not sets[0] & sets[1]:
            assert estimate == 0


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_a_signature_depends_on_its_text_alone(texts):
    together = signatures(texts, 5, 16)
    for row, text in enumerate(texts):
        assert np.array_equal(signatures([text], 5, 16)[0], together[row])


def test_cutting_into_blocks_changes_nothing(monkeypatch):
    rng = random.Random(0)
    texts = [" ".join(rng.choices(["a", "bc", "naïve", "internationalisation", "\0", "中文"], k=rng.randrange(30))) for _ in range(200)]
    whole = signatures(texts, 5, 8)
    for block_bytes in (1, 7, 100):
        monkeypatch.setattr(segments, "CHUNK_BYTES", block_bytes)
        assert np.array_equal(signatures(texts, 5, 8), whole)


def test_signatures_are_the_same_on_all_platforms_and_versions():
    texts = ["", "a", "the quick brown fox jumps over the lazy dog", "straße 中文 " + "x" * 100]
    keys = band_keys(signatures(texts, 5, 112), 14, 8)
    assert hashlib.sha256(keys.astype("<u8").tobytes()).hexdigest() == "61108b21ef92fe69fcf57c04f6c7a80567ed116e486da1d6dc18f8cf2be9a31e"


@pytest.mark.parametrize(
    "pair", [("a", "a\0"), ("\0a", "a"), ("a b", "ab"), ("abcdefgh", "abcdefgh\0"), ("x" * 9, "x" * 10), ("12345678abc", "abc12345678")]
)
def test_words_that_differ_only_in_padding_length_or_order_of_lanes_differ(pair):
    found = signatures(list(pair), 1, 32)
    assert similarity(found[[0]], found[[1]])[0] == 0


def test_words_in_another_order_are_another_ngram():
    found = signatures(["a b c d e", "b a c d e", "a b c d e"], 5, 32)
    assert similarity(found[[0, 0]], found[[1, 2]]).tolist() == [0, 1]


def test_a_thue_morse_word_does_not_collide_with_its_complement():
    """Any polynomial hash modulo 2^64 gives the same value to both."""
    word = "a"
    while len(word) < 4096:
        word += word.translate(str.maketrans("ab", "ba"))
    found = signatures([word, word.translate(str.maketrans("ab", "ba"))], 1, 32)
    assert similarity(found[[0]], found[[1]])[0] == 0


@pytest.mark.parametrize("num_words", [20, 300])
@pytest.mark.parametrize("jaccard", [0.3, 0.5, 0.7, 0.8, 0.9])
def test_estimates_are_unbiased_and_detection_follows_the_s_curve(jaccard, num_words):
    num_pairs = 600
    first, second, true = pairs_of_similarity(jaccard, num_words, num_pairs)
    one, two = signatures(first, 1, NUM_PERMUTATIONS), signatures(second, 1, NUM_PERMUTATIONS)
    estimates = similarity(one, two)
    standard_error = np.sqrt(true * (1 - true) / NUM_PERMUTATIONS)
    assert abs(estimates.mean() - true) < 4 * standard_error / np.sqrt(num_pairs)
    assert estimates.std() == pytest.approx(standard_error, rel=0.15)
    detected = (band_keys(one, 14, 8) == band_keys(two, 14, 8)).any(axis=1).mean()
    expected = detection_probability(true, 14, 8)
    assert abs(detected - expected) < 4 * np.sqrt(expected * (1 - expected) / num_pairs) + 1 / num_pairs


def test_estimates_are_close_on_prose_that_was_edited():
    rng = random.Random(0)
    vocabulary = [f"{syllable}{ending}" for syllable in ["ka", "lo", "mi", "ren", "tus"] for ending in ["a", "el", "is", "on", "um", ""]]
    words = rng.choices(vocabulary, weights=[1 / rank for rank in range(1, len(vocabulary) + 1)], k=600)
    texts = [" ".join(words)]
    for num_edits in (1, 5, 20, 60):
        edited = list(words)
        for place in rng.sample(range(600), num_edits):
            edited[place] = "edited"
        texts.append(" ".join(edited))
    found = signatures(texts, 5, 1024)
    for row, text in enumerate(texts):
        true = len(shingles(texts[0], 5) & shingles(text, 5)) / len(shingles(texts[0], 5) | shingles(text, 5))
        assert similarity(found[[0]], found[[row]])[0] == pytest.approx(true, abs=0.07)


@pytest.mark.parametrize("unit", ["x", "é", "word ", "a ", "\0", "\U0001f98a "])
def test_time_is_linear_in_the_length_of_one_document(unit):
    seconds = []
    for num_characters in (100_000, 2_000_000):
        text = (unit * (num_characters // len(unit))).strip()
        began = time.process_time()
        assert signatures([text], 5, 8).shape == (1, 8)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 100 * max(seconds[0], 0.01)


def test_nothing_gives_nothing():
    assert signatures([], 5, 16).shape == (0, 16)
