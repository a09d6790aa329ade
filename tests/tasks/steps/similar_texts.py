"""Texts whose Jaccard similarity is known."""

import random


def pairs_of_similarity(jaccard: float, num_words: int, num_pairs: int) -> tuple[list[str], list[str], float]:
    """Pairs of texts of distinct words, their similarity as sets of words."""
    rng = random.Random(f"{jaccard} {num_words}")
    common = round(2 * num_words * jaccard / (1 + jaccard))
    first, second = [], []
    for _ in range(num_pairs):
        words = [str(word) for word in rng.sample(range(10**9), 2 * num_words - common)]
        first.append(" ".join(words[:num_words]))
        second.append(" ".join(words[num_words - common :]))
    return first, second, common / (2 * num_words - common)
