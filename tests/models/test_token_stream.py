import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain_order import Segment
from models.token_stream import TokenStream, natural_weights

T = 4


def corpus(**num_tokens: int) -> dict[str, np.ndarray]:
    """Every token tells its domain and its place: 1000 * domain + place."""
    return {name: 1000 * i + np.arange(n, dtype=np.uint16) for i, (name, n) in enumerate(sorted(num_tokens.items()))}


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


def test_a_domain_goes_on_where_it_was_when_weights_change():
    """`a` has 10 windows and is read 5 + 15 times: in each 10 draws, of whichever stage, each window once."""
    later = [Segment(start_sequence=10, weights_by_domain={"a": 0.75, "b": 0.25})]
    stream = TokenStream(corpus(a=41, b=81), {"a": 0.5, "b": 0.5}, T, 30, seed=3, segments=later)
    starts = [row[0] for row in stream.sequences(0, 30) if row[0] < 1000]
    assert [sorted(starts[:10]), sorted(starts[10:])] == [[T * w for w in range(10)]] * 2
    assert stream.tokens_by_domain(10) == {"a": 20, "b": 20}
    assert stream.epochs_by_domain(30) == {"a": 2.0, "b": 0.5}


def test_weights_that_change_while_training_give_the_stream_that_was_planned_so():
    given = TokenStream(corpus(a=401, b=801), {"a": 0.3, "b": 0.7}, T, 2500, seed=1)
    weights = {700: {"a": 0.9, "b": 0.1}, 1300: {"a": 0.0, "b": 1.0}}
    planned = [Segment(start_sequence=start, weights_by_domain=of_segment) for start, of_segment in weights.items()]
    whole = TokenStream(corpus(a=401, b=801), {"a": 0.3, "b": 0.7}, T, 2500, seed=1, segments=planned)
    changed = given.with_weights_from(700, weights[700]).with_weights_from(1300, weights[1300])
    assert (changed.sequences(0, 2500) == whole.sequences(0, 2500)).all()
    assert (changed.sequences(0, 700) == given.sequences(0, 700)).all()
    assert (given.with_weights_from(700, weights[700]).with_weights_from(700, weights[1300]).sequences(700, 800)[:, 0] >= 1000).all()
    with pytest.raises(ValueError, match=r"'c' can't get weight 0.5 while training"):
        given.with_weights_from(700, {"a": 0.5, "c": 0.5})


def test_a_share_of_the_corpus_is_read_as_often_as_a_larger_training_reads_all():
    """160 sequences of `a` at the target are 4 epochs of its 40 windows; 40 sequences are 4 epochs of 10 of them."""
    make = lambda share, seed, **others: TokenStream(  # noqa: E731
        corpus(a=161, **others), {"a": 1 / (1 + len(others))} | dict.fromkeys(others, 0.5), T, 40 * (1 + len(others)), seed, corpus_share=share
    )
    starts = lambda stream: [row[0] for row in stream.sequences(0, stream.num_sequences) if row[0] < 1000]  # noqa: E731
    proxy = make(0.25, seed=1)
    assert proxy.epochs_by_domain(40) == {"a": 4.0}
    epochs = [starts(proxy)[i : i + 10] for i in range(0, 40, 10)]
    assert len(set(epochs[0])) == 10
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert set(starts(make(0.25, seed=2))) == set(epochs[0]) == set(starts(make(0.25, seed=1, b=321))), "neither seed nor other domains choose it"
    assert set(starts(make(0.5, seed=1))) > set(epochs[0])
    with pytest.raises(ValueError, match=r"0\.01 of domain 'a', 161 tokens, is less than one sequence of 4"):
        make(0.01, seed=1)


def test_caps_may_be_by_domain_and_say_what_is_possible():
    make = lambda weight, num_sequences: TokenStream(  # noqa: E731
        corpus(a=41, b=81), {"a": weight, "b": 1 - weight}, T, num_sequences, seed=0, max_epochs={"a": 2.0}
    )
    with pytest.raises(ValueError, match=r"'a' would be read 4.00 times, more than max_epochs 2: .* from 0.5 to 0.25, or the budget to 160 tokens"):
        make(0.5, 80)
    assert make(0.25, 80).epochs_by_domain(80) == {"a": 2.0, "b": 3.0}
    assert make(0.5, 40).epochs_by_domain(40)["a"] == 2.0


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
