from collections import Counter

import numpy as np
import pytest

from models.packing import LengthBuckets, Windows, pieces_by_length

END = 0
T = 64
LENGTHS = [100, 64, 37, 16, 15, 200, 1, 48, 150, 90] * 4  # of documents, end-of-text token included


def documents(lengths: list[int] = LENGTHS) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that tell their place, from 1 on, but for the end of each document; and the offsets."""
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(1, offsets[-1] + 1, dtype=np.uint16)
    tokens[offsets[1:] - 1] = END
    return tokens, offsets.astype(np.uint64)


def buckets(seed: int = 1, share: float = 1.0, lengths: list[int] = LENGTHS) -> LengthBuckets:
    return LengthBuckets(*documents(lengths), T, share, key=7, seed=seed, end_of_text_id=END)


def pieces(packed: LengthBuckets, epoch: int) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of all that are read in an epoch."""
    found = []
    for draw in range(epoch * len(packed), (epoch + 1) * len(packed)):
        sequence = packed.read(draw)
        assert sequence.documents is not None
        cuts = np.flatnonzero(np.diff(sequence.documents)) + 1
        assert len({len(piece) for piece in np.split(sequence.inputs, cuts)}) == 1, "pieces of one length"
        found += [(i.tolist(), t.tolist()) for i, t in zip(np.split(sequence.inputs, cuts), np.split(sequence.targets, cuts), strict=True)]
    return found


def test_a_document_is_cut_into_powers_of_two_the_longest_first():
    found = pieces_by_length(np.array([1000, 2000]), np.array([64 + 64 + 32 + 16 + 5, 16]), T)
    assert {length: starts.tolist() for length, starts in found.items()} == {64: [1000, 1064], 32: [1128], 16: [1160, 2000]}


def test_each_piece_lies_in_one_document_and_is_read_at_most_once_an_epoch():
    packed, (tokens, offsets) = buckets(), documents()
    document_of = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    places = {int(token): place for place, token in enumerate(tokens) if token != END}
    read = Counter[int]()
    for inputs, targets in pieces(packed, epoch=0):
        first = places[targets[0]]
        assert targets == tokens[first : first + len(targets)].tolist()
        assert inputs == [tokens[first - 1] if first else END, *targets[:-1]], "a document begins behind an end-of-text token"
        assert len(set(document_of[first : first + len(targets)])) == 1
        read.update(range(first, first + len(targets)))
    assert set(read.values()) == {1}
    cut = sum(len(starts) * length for length, starts in packed.piece_starts.items())
    assert cut == sum(length - length % 16 for length in LENGTHS)
    assert cut - len(read) < T * len(packed.piece_starts), "of each length less than a sequence is left over"
    assert offsets[-1] == len(tokens)


def test_epochs_and_seeds_differ_in_order_and_a_draw_is_always_the_same():
    first, again = pieces(buckets(), 0), pieces(buckets(), 0)
    assert first == again
    assert pieces(buckets(), 1) != first != pieces(buckets(seed=2), 0)


def test_a_share_is_of_documents_and_the_same_for_every_seed():
    def read(seed: int, share: float) -> set[int]:
        return {target for epoch in range(6) for _, targets in pieces(buckets(seed, share, LENGTHS * 3), epoch) for target in targets}

    assert read(1, 0.4) == read(2, 0.4) < read(1, 0.8)


def test_documents_of_windows_begin_with_the_end_of_text_before_them():
    tokens, _ = documents([5, 4, 90])
    windows = Windows(tokens, 16, share=1.0, key=1, seed=1, end_of_text_id=END)
    beginning = next(sequence for sequence in map(windows.read, range(len(windows))) if sequence.inputs[0] == 1)
    assert beginning.inputs.tolist() == [1, 2, 3, 4, END, 6, 7, 8, END, *range(10, 17)]
    assert beginning.documents is not None
    assert beginning.documents.tolist() == [0] * 4 + [1] * 4 + [2] * 8


@pytest.mark.parametrize(("sequence_length", "lengths", "message"), [(48, LENGTHS, "no power of two"), (64, [30, 20], "fill one sequence of 64")])
def test_what_cannot_be_cut_is_refused(sequence_length, lengths, message):
    with pytest.raises(ValueError, match=message):
        LengthBuckets(*documents(lengths), sequence_length, 1.0, key=7, seed=1, end_of_text_id=END)
