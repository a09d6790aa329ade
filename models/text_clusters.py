"""Clusters of texts: vectors of terms, their projection, k-means, and names.

Shape suffixes: N texts, T terms, E dimensions of an embedding, K clusters. `terms_NT` are SciPy's sparse rows.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from models.frozen import StudyError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

TERM = r"[^\W\d_]{3,}"  # words of letters
TERMS_IN_NAME, LETTERS_OF_TERM = 3, 10


def fit_terms(texts: Sequence[str], max_terms: int) -> "TfidfVectorizer":
    """TF-IDF of the most frequent words, with 1 + log tf, of length 1; words in more than half of the texts tell nothing and are left out.

    Raises:
        StudyError: when no word is left.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=TERM, max_features=max_terms, min_df=2, max_df=0.5, sublinear_tf=True)
    try:
        return vectorizer.fit(texts)
    except ValueError as error:
        raise StudyError(f"Clusters need words that some of the documents share and some not; of {len(texts)} documents: {error}") from None


def fit_projection(terms_NT: Any, dimensions: int, seed: int) -> np.ndarray:
    """The right singular vectors with the largest singular values [T, E] (truncated SVD: latent semantic analysis)."""
    from sklearn.decomposition import TruncatedSVD

    if terms_NT.shape[1] == 1:  # which scikit-learn refuses
        return np.ones((1, 1))
    svd: Any = TruncatedSVD(max(1, min(dimensions, *(size - 1 for size in terms_NT.shape))), random_state=seed)
    with threadpool_limits(1):  # how sums are split among threads shows in their last bits
        svd.fit(terms_NT)
    return svd.components_.T


def project(terms_NT: Any, projection_TE: np.ndarray) -> np.ndarray:
    """Embeddings of length 1 [N, E], each as it would be alone; of a text without a term, 0."""
    return unit(np.asarray(terms_NT @ projection_TE))


def unit(vectors_NE: np.ndarray) -> np.ndarray:
    length_N = np.sqrt(np.einsum("ne,ne->n", vectors_NE, vectors_NE))
    return vectors_NE / np.where(length_N, length_N, 1)[:, None]


def fit_centroids(vectors_NE: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """k-means (k-means++, the best of 4) [K, E], the largest cluster first; fewer than asked for where vectors are equal.

    Raises:
        StudyError: when there are fewer texts than clusters.
    """
    from sklearn.cluster import KMeans

    if len(vectors_NE) < clusters:
        raise StudyError(f"{len(vectors_NE)} documents can't be {clusters} clusters: ask for fewer.")
    distinct = len(np.unique(vectors_NE, axis=0))
    with threadpool_limits(1):
        centroids_KE = KMeans(min(clusters, distinct), n_init=4, random_state=seed).fit(vectors_NE).cluster_centers_  # type: ignore[arg-type]
    size_K = np.bincount(nearest_centroid(vectors_NE, centroids_KE), minlength=len(centroids_KE))
    return centroids_KE[np.argsort(-size_K, kind="stable")]


def nearest_centroid(vectors_NE: np.ndarray, centroids_KE: np.ndarray) -> np.ndarray:
    """int [N]. Not by BLAS, whose last bits depend on how many texts are asked for together."""
    return np.argmax(np.einsum("ne,ke->nk", vectors_NE, centroids_KE) - np.einsum("ke,ke->k", centroids_KE, centroids_KE) / 2, axis=1)


def merged(centroids_KE: np.ndarray, size_K: np.ndarray, groups: int | None, max_distance: float | None) -> np.ndarray:
    """The group of each cluster, int [K], the largest group first: average linkage by Euclidean distance of centroids, until `groups` are left, or
    until no two are within `max_distance` of one another."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(centroids_KE) < 2:
        return np.zeros(len(centroids_KE), np.int64)
    tree = linkage(centroids_KE, "average")
    label_K = fcluster(tree, groups, "maxclust") if groups else fcluster(tree, max_distance, "distance")
    labels, first, label_K = np.unique(label_K, return_index=True, return_inverse=True)
    order = np.lexsort((first, -np.bincount(label_K, size_K, len(labels))))
    return np.argsort(order)[label_K]


def names_of(terms_NT: Any, cluster_N: np.ndarray, clusters: int, terms: list[str]) -> list[str]:
    """A name for each cluster, fit for a domain: its number, and the terms whose mean weight in it is most above their mean over all texts."""
    mean_T = np.asarray(terms_NT.mean(axis=0)).ravel()
    names = []
    for k in range(clusters):
        inside = terms_NT[np.flatnonzero(cluster_N == k)]
        above_T = np.asarray(inside.mean(axis=0)).ravel() - mean_T if inside.shape[0] else mean_T
        best = (_plain(terms[t]) for t in np.argsort(-above_T, kind="stable"))
        told = [term for term, _ in zip(filter(None, best), range(TERMS_IN_NAME), strict=False)]
        names.append("-".join([f"c{k:0{len(str(clusters - 1))}d}", *told]))
    return names


def _plain(term: str) -> str:
    """In the letters a to z, without accents; empty when it has none."""
    return re.sub("[^a-z]", "", unicodedata.normalize("NFKD", term.lower()))[:LETTERS_OF_TERM]
