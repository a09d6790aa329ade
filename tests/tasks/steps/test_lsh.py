import numpy as np

from tasks.steps.lsh import band_keys, bands_for, connected, detection_probability, similarity_to_any
from tasks.steps.minhash import signatures, similarity
from tests.tasks.steps.similar_texts import pairs_of_similarity


def test_bands_detect_as_probably_as_asked_with_the_most_rows():
    for jaccard in (0.3, 0.5, 0.7, 0.9, 1.0):
        bands, rows = bands_for(jaccard, 128, 0.999)
        assert bands * rows <= 128
        assert detection_probability(jaccard, bands, rows) >= 0.999
        assert rows == 128 or detection_probability(jaccard, 128 // (rows + 1), rows + 1) < 0.999
    assert bands_for(0.01, 128, 0.999) == (128, 1)


def test_components_join_through_chains_and_across_bands():
    keys = [np.array([1, 1, 2, 3, 4, 5], np.uint64), np.array([9, 8, 8, 7, 6, 6], np.uint64)]
    assert connected(keys, 6, None).tolist() == [0, 0, 0, 3, 4, 4]


def test_unverified_candidates_are_not_joined_and_verified_ones_are():
    """All share one key; the even ones are similar to each other, and the odd ones."""
    keys = [np.zeros(10, np.uint64)]
    assert connected(keys, 10, lambda first, second: first % 2 == second % 2).tolist() == [0, 1] * 5


def test_a_bucket_of_dissimilar_documents_does_not_cost_its_square():
    compared = 0

    def never(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(first)
        return np.zeros(len(first), bool)

    num = 20_000
    assert np.array_equal(connected([np.zeros(num, np.uint64)], num, never), np.arange(num))
    assert compared < 50 * num


def test_similarity_to_any_finds_each_near_one_and_nothing_else():
    first, second, _ = pairs_of_similarity(0.9, 100, 50)
    others, _, _ = pairs_of_similarity(0.1, 100, 50)
    bands, rows = bands_for(0.7, 128, 0.999)
    references, documents = signatures(first, 1, 128), signatures(second + others, 1, 128)
    found = similarity_to_any(documents, band_keys(documents, bands, rows), references, band_keys(references, bands, rows), 0.7)
    assert found[:50].tolist() == similarity(documents[:50], references).tolist()
    assert np.isnan(found[50:]).all()


def test_similarity_to_any_looks_behind_a_dissimilar_reference_of_the_same_bucket():
    references = np.array([[1, 1, 9, 9], [1, 1, 2, 2]], np.uint32)
    documents = np.array([[1, 1, 2, 3]], np.uint32)
    assert similarity_to_any(documents, band_keys(documents, 1, 2), references, band_keys(references, 1, 2), 0.7).tolist() == [0.75]
