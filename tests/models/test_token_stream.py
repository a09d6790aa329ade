import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.token_stream import BLOCK, TokenStream, natural_weights

T = 4


def corpus(**num_tokens: int) -> dict[str, np.ndarray]:
    """Every token tells its domain and its place: 1000 * domain + place."""
    return {name: 1000 * i + np.arange(n, dtype=np.uint16) for i, (name, n) in enumerate(sorted(num_tokens.items()))}


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12), st.integers(1, 3 * BLOCK))
@settings(max_examples=60, deadline=None)
def test_shares_are_exact_to_one_sequence_in_every_block_and_to_two_in_every_prefix(raw, num_sequences):
    weights = {f"d{i:02d}": w / sum(raw) for i, w in enumerate(raw)}
    stream = TokenStream({d: np.zeros(50, np.uint16) for d in weights}, weights, T, num_sequences, seed=0)
    domain_of, _ = stream._draws(0, num_sequences)
    exact = np.array(list(weights.values()))
    for start in range(0, num_sequences - BLOCK + 1, BLOCK):
        assert np.abs(np.bincount(domain_of[start : start + BLOCK], minlength=len(raw)) - exact * BLOCK).max() <= 1
    prefix = (domain_of[:, None] == np.arange(len(raw))).cumsum(axis=0) - exact * np.arange(1, num_sequences + 1)[:, None]
    assert np.abs(prefix).max() < 2.5


def test_no_window_comes_twice_before_all_came_once_and_epochs_differ():
    stream = TokenStream(corpus(a=41, b=81), {"a": 0.5, "b": 0.5}, T, 80, seed=3)
    rows = stream.sequences(0, 80)
    for first_token, windows in ((0, 10), (1000, 20)):
        starts = [row[0] for row in rows if first_token <= row[0] < first_token + 1000]
        epochs = [starts[i : i + windows] for i in range(0, 40, windows)]
        assert all(sorted(epoch) == [first_token + T * w for w in range(windows)] for epoch in epochs)
        assert epochs[0] != epochs[1]
    assert (np.diff(rows, axis=1) == 1).all()
    assert stream.epochs_by_domain(80) == {"a": 4.0, "b": 2.0}
    assert stream.tokens_by_domain(80) == {"a": 160, "b": 160}


@given(st.integers(0, 2500), st.integers(0, 2500))
@settings(max_examples=30, deadline=None)
def test_position_is_a_function_of_seed_and_index(i, j):
    start, stop = sorted((i, j))
    make = lambda seed: TokenStream(corpus(a=401, b=801), {"a": 0.3, "b": 0.7}, T, 2500, seed=seed)  # noqa: E731
    whole = make(1).sequences(0, 2500)
    assert (make(1).sequences(start, stop) == whole[start:stop]).all()
    assert (make(2).sequences(0, 2500) != whole).any()


def test_a_new_domain_leaves_the_order_inside_the_others():
    alone = TokenStream(corpus(a=401), {"a": 1.0}, T, 100, seed=1).sequences(0, 100)
    both = TokenStream(corpus(a=401, b=401), {"b": 0.5, "a": 0.5}, T, 200, seed=1).sequences(0, 200)
    assert (both[both[:, 0] < 1000] == alone).all()


def test_refusals_name_the_domain():
    with pytest.raises(ValueError, match=r"'b' has weight 0.5 but no tokens"):
        TokenStream(corpus(a=41), {"a": 0.5, "b": 0.5}, T, 10, seed=0)
    with pytest.raises(ValueError, match=r"'a' has 4 tokens, fewer than one sequence of 4"):
        TokenStream(corpus(a=4), {"a": 1.0}, T, 10, seed=0)
    with pytest.raises(ValueError, match=r"'a' would be read 1.50 times, more than max_epochs 1.2"):
        TokenStream(corpus(a=41), {"a": 1.0}, T, 15, seed=0, max_epochs=1.2)
    with pytest.raises(IndexError):
        TokenStream(corpus(a=41), {"a": 1.0}, T, 15, seed=0).sequences(10, 16)


def test_natural_weights_are_shares_of_tokens():
    assert natural_weights(corpus(a=30, b=10)) == {"a": 0.75, "b": 0.25}
