"""A fastText classifier of reference text against other text: fitted, checked on held-out text, refused when it can't tell them apart."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from models.frozen import Frozen, StudyError

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

REFERENCE, OTHER = "__label__reference", "__label__other"
MIN_TEXTS = 50  # of each kind: held-out figures of fewer say nothing


class ClassifierConfig(Frozen):
    """A bag of word n-grams under a softmax (fastText, arXiv 1607.01759), as DCLM's filter is (arXiv 2406.11794, section 4.4)."""

    dimensions: PositiveInt = 16
    epochs: PositiveInt = 5
    learning_rate: PositiveFloat = 0.1
    word_ngrams: PositiveInt = 2
    min_word_count: PositiveInt = 3
    buckets: PositiveInt = Field(default=1 << 17, description="n-grams are hashed to so many rows of the embedding")
    heldout_share: float = Field(default=0.2, gt=0, lt=1, description="of the texts of both kinds, for the report")
    min_auc: float = Field(default=0.6, ge=0.5, lt=1, description="on held-out text; a classifier below it is refused")


class CalibrationBin(Frozen):
    """Held-out texts with scores in one tenth of [0, 1]."""

    num_texts: int
    mean_score: float
    reference_share: float


class ClassifierReport(Frozen):
    """How well a classifier tells held-out reference text from other text."""

    num_reference: int
    num_other: int
    num_heldout: int
    auc: float  # probability that a reference text scores higher than another one; 0.5 is chance
    auc_by_group: dict[str, float]  # the same against the other texts of one group
    expected_calibration_error: float  # |mean score - share of reference|, mean over the bins weighted by their texts
    calibration: tuple[CalibrationBin, ...]  # the bins that hold texts, lowest scores first


def fit(
    reference: Sequence[str], other: Sequence[str], groups: Sequence[str], config: ClassifierConfig, seed: int
) -> tuple["_FastText", ClassifierReport]:
    """Trains on one thread: the same texts in the same order give the same weights.

    Args:
        groups: a name for each of `other`, by which the report divides them.

    Raises:
        StudyError: too few texts, a training that diverged, scores that are NaN or all the same, an AUC on held-out text below `min_auc`.
    """
    if min(len(reference), len(other)) < MIN_TEXTS:
        raise StudyError(
            f"A quality classifier needs {MIN_TEXTS} reference and {MIN_TEXTS} other documents; there are {len(reference)} and {len(other)}."
        )
    texts = prepare([*reference, *other])
    is_reference = np.arange(len(texts)) < len(reference)
    order = np.random.default_rng(seed).permutation(len(texts))
    heldout, train = np.split(order, [round(len(texts) * config.heldout_share)])
    model = _train([f"{REFERENCE if is_reference[i] else OTHER} {texts[i]}" for i in train], config, seed)
    scores = _score([texts[i] for i in heldout], model)
    report = _report(scores, is_reference[heldout], np.array([*[""] * len(reference), *groups])[heldout])
    if not report.auc >= config.min_auc:
        raise StudyError(
            f"The quality classifier can't tell reference from other text: on {report.num_heldout} held-out documents its AUC is {report.auc:.3f}, "
            f"below min_auc {config.min_auc}. Choose a reference that differs from the rest, or give it more documents or epochs."
        )
    return model, report


def score(texts: Sequence[str], model: "_FastText") -> np.ndarray:
    """The probability of being reference text, float32, for each text.

    Raises:
        StudyError: when one is NaN.
    """
    return _score(prepare(texts), model)


def prepare(texts: Sequence[str]) -> list[str]:
    """One line each, in lower case, with space around punctuation; no text can pass for one of fastText's labels or ends of line."""
    import polars as pl

    lines = pl.Series(texts, dtype=pl.String).str.to_lowercase().str.replace_all(r"([^\w\s])", " $1 ").str.replace_all(r"[\s\x00]+|__label__", " ")
    return lines.to_list()


def _train(lines: list[str], config: ClassifierConfig, seed: int) -> "_FastText":
    import fasttext

    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        try:
            return fasttext.train_supervised(
                str(path),
                lr=config.learning_rate,
                dim=config.dimensions,
                epoch=config.epochs,
                wordNgrams=config.word_ngrams,
                minCount=config.min_word_count,
                bucket=config.buckets,
                seed=seed,
                thread=1,
                verbose=0,
            )
        except (RuntimeError, ValueError) as error:  # fastText's own words: "Encountered NaN.", "Empty vocabulary. ..."
            raise StudyError(f"The quality classifier could not be trained on {len(lines)} documents: {error}") from error


def _score(lines: list[str], model: "_FastText") -> np.ndarray:
    """The softmax of fastText's own `predict`, which adds 1e-5 to every probability: most of a corpus that is unlike the reference would tie."""
    vectors = np.array([model.get_sentence_vector(line) for line in lines], np.float64).reshape(len(lines), model.get_dimension())
    other, reference = (model.get_output_matrix().astype(np.float64)[model.get_labels().index(label)] for label in (OTHER, REFERENCE))
    scores = 1 / (1 + np.exp(np.clip(vectors @ (other - reference), -80, 80)))  # beyond that float32 has nothing to tell
    if np.isnan(scores).any():
        raise StudyError(f"The quality classifier gives no score to {np.isnan(scores).sum()} of {len(scores)} documents: its training diverged.")
    return scores.astype(np.float32)


def _report(scores: np.ndarray, is_reference: np.ndarray, groups: np.ndarray) -> ClassifierReport:
    if np.ptp(scores) == 0:
        raise StudyError(f"The quality classifier gives all {len(scores)} held-out documents the same score {scores[0]:.4f}: it has learned nothing.")
    tenth = np.minimum((scores * 10).astype(int), 9)
    bins = [
        CalibrationBin(num_texts=inside.sum(), mean_score=scores[inside].mean(dtype=float), reference_share=is_reference[inside].mean())
        for inside in (tenth == i for i in np.unique(tenth))
    ]
    positive, negative = scores[is_reference], scores[~is_reference]
    return ClassifierReport(
        num_reference=int(is_reference.sum()),
        num_other=int((~is_reference).sum()),
        num_heldout=len(scores),
        auc=area_under_curve(positive, negative),
        auc_by_group={
            str(group): area_under_curve(scores[is_reference], scores[~is_reference & (groups == group)])
            for group in np.unique(groups[~is_reference])
        },
        expected_calibration_error=sum(abs(b.mean_score - b.reference_share) * b.num_texts for b in bins) / len(scores),
        calibration=tuple(bins),
    )


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """The probability that a positive's score is above a negative's, ties counted half (Mann and Whitney's U, normalised)."""
    negative = np.sort(negative)
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))
