import numpy as np
import pytest

from models.document_order import ScoreOrder
from models.frozen import StudyError
from models.token_stream import TokenStream
from tasks import layout
from tasks.probes.training_text import TrainingText
from tests.tasks.probes.overfitted_study import CONTEXT, RECIPE

NUM_TOKENS = 12


def sequences_read(overfitted, num_sequences: int) -> np.ndarray:
    """As the training worker gets them."""
    run, corpus = overfitted.run, overfitted.training.corpus
    stream = TokenStream(corpus.tokens_by_domain, run.weights_by_domain, CONTEXT, run.tokens_seen // CONTEXT, run.data_seed)
    return stream.sequences(0, num_sequences)


def is_within(excerpt: np.ndarray, sequences: np.ndarray) -> bool:
    return bool((np.lib.stride_tricks.sliding_window_view(sequences, len(excerpt), axis=1) == excerpt).all(-1).any())


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_excerpts_are_what_the_run_has_read_by_then_and_no_more(overfitted, share):
    run = overfitted.run
    num_sequences = int(share * run.tokens_seen // CONTEXT)
    training = TrainingText(overfitted.folder / layout.TOKENS / RECIPE, run, num_sequences * CONTEXT, CONTEXT)
    sequences = sequences_read(overfitted, num_sequences)
    for domain in training.domains:
        read, unread = (training.excerpts(domain, NUM_TOKENS, 1000, seed=0, read=read) for read in (True, False))
        assert len(read) > 3
        assert len(unread) > 3
        assert all(is_within(excerpt, sequences) for excerpt in read)
        assert not any(is_within(excerpt, sequences) for excerpt in unread)
        assert (read[:, 0] == 0).all()  # end-of-text, which a document stands behind
        assert (read[:, 1:] != 0).all()


def test_every_beginning_that_lies_in_a_sequence_is_a_candidate(overfitted):
    sequences = sequences_read(overfitted, overfitted.run.tokens_seen // CONTEXT)
    windows = np.lib.stride_tricks.sliding_window_view(sequences, NUM_TOKENS + 1, axis=1).reshape(-1, NUM_TOKENS + 1)
    beginnings = {tuple(window) for window in windows.tolist() if window[0] == 0 and 0 not in window[1:]}
    training = overfitted.training
    assert beginnings == {tuple(row) for domain in training.domains for row in training.excerpts(domain, NUM_TOKENS, 1000, seed=0).tolist()}


def test_excerpts_are_drawn_by_seed(overfitted):
    first, again, other = (overfitted.training.excerpts("poems", NUM_TOKENS, 5, seed=seed).tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 5


def test_a_run_of_another_corpus_is_refused(overfitted):
    run = overfitted.run.model_copy(update={"tokens_md5_by_domain": {"letters": "c0de", "poems": "c0de"}})
    with pytest.raises(StudyError, match=r"Run 50k-1x-seed1 of raw-natural was trained on other tokens than .* holds now: `dvc repro"):
        TrainingText(overfitted.folder / layout.TOKENS / RECIPE, run, run.tokens_seen, CONTEXT)


@pytest.mark.parametrize(
    ("how", "read"), [({"packing": "length-buckets"}, "pieces of documents"), ({"order": ScoreOrder(by="x")}, "an order of its own")]
)
def test_what_was_not_read_as_shuffled_windows_is_not_followed(overfitted, how, read):
    run = overfitted.run.model_copy(update=how)
    training = TrainingText(overfitted.folder / layout.TOKENS / RECIPE, run, run.tokens_seen, CONTEXT)
    with pytest.raises(StudyError, match=f"Run 50k-1x-seed1 of raw-natural read .*{read}.*: leave out evaluation.probes.membership"):
        training.excerpts("poems", NUM_TOKENS, 5, seed=0)


def test_a_run_with_another_sequence_length_is_refused(overfitted):
    training = TrainingText(overfitted.folder / layout.TOKENS / RECIPE, overfitted.run, overfitted.run.tokens_seen, CONTEXT // 4 * 3)
    with pytest.raises(StudyError, match=r"read other sequences than training.sequence_length 48 gives"):
        training.excerpts("poems", NUM_TOKENS, 5, seed=0)
