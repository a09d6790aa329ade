"""Bits per byte of held-out documents by when they were written, and how it changes per year. Shape suffix: N documents."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from models.frozen import StudyError
from tasks.benchmarks.bits_per_byte import bits_per_byte
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.items import Document
from tasks.benchmarks.version import WINDOW_RULE, Outline, digest
from tasks.evaluation_table import BITS_PER_BYTE
from tasks.probes.base import OURS, Answer, Subject
from tasks.probes.config import AgeConfig

SLOPE = "bits_per_byte_per_year"  # positive: text is harder the younger it is
DATE = re.compile(r"\s*(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?(?!\d)")  # the beginning of ISO 8601


class Age:
    """The held-out documents that have a date."""

    def __init__(self, config: AgeConfig, documents: Sequence[Document]):
        """Raises:
        StudyError: when no document has one that can be read.
        """
        self.by, self.documents = config.by, documents
        dates = [parse(document.date) for document in documents]
        if not any(dates):
            given = next((document.date for document in documents if document.date), None)
            found = f"'{given}' is not of the form YYYY-MM-DD" if given else "their sources give none"
            raise StudyError(
                f"evaluation.probes.age: none of the {len(documents)} held-out documents has a date ({found}): give the sources a column `date`, or"
                " leave age out."
            )
        self.year_N = np.array([date[0] + ((date[1] or 7) - 1 + ((date[2] or 1) - 1) / 31) / 12 if date else math.nan for date in dates])
        self.period_N = np.array([self._period(date) if date else "" for date in dates])
        self.domain_N = np.array([document.domain for document in documents])
        self.bytes_N = np.array([len(document.text.encode()) for document in documents])

    def _period(self, date: tuple[int, int | None, int | None]) -> str:
        """A document whose month is unknown is in no month."""
        year, month, _ = date
        return f"{year:04}" if self.by == "year" else f"{year:04}-{month:02}" if month else ""

    def ask(self, subject: Subject) -> Iterator[Answer]:
        for domain in np.unique(self.domain_N[np.isfinite(self.year_N)]).tolist():
            in_domain = (self.domain_N == domain) & np.isfinite(self.year_N)
            change = slope(self.year_N[in_domain], subject.bits_N[in_domain], self.bytes_N[in_domain])
            yield Answer(f"heldout-age/{domain}", SLOPE, change, self._outline(in_domain, subject.context))
            for period in np.unique(self.period_N[in_domain & (self.period_N != "")]).tolist():
                chosen = in_domain & (self.period_N == period)
                estimate = bits_per_byte(subject.bits_N[chosen], self.bytes_N[chosen])
                yield Answer(f"heldout-age/{domain}/{period}", BITS_PER_BYTE, estimate, self._outline(chosen, subject.context))

    def _outline(self, chosen: np.ndarray, context: int) -> Outline:
        texts = ((self.documents[i].id, self.documents[i].date, self.documents[i].text) for i in np.flatnonzero(chosen).tolist())
        return Outline(harness=OURS, settings={"windows": WINDOW_RULE, "context": context, "by": self.by}, items=tuple(map(digest, texts)))


def parse(date: str | None) -> tuple[int, int | None, int | None] | None:
    """Year, month and day, as far as they are given; None when it is no date."""
    match = DATE.match(date or "")
    if match is None:
        return None
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None
    valid = (month is None or 1 <= month <= 12) and (day is None or 1 <= day <= 31)
    return (year, month, day) if valid else None


def slope(year_N: np.ndarray, bits_N: np.ndarray, bytes_N: np.ndarray) -> Estimate:
    """Of bits per byte over years, by least squares weighted by bytes, so that it is of the same text as the mean; the standard error is robust to
    documents' unequal noise (White, Econometrica 48, 1980, with n / (n - 2))."""
    kept = bytes_N > 0
    year_N, bits_N, bytes_N = year_N[kept], bits_N[kept], bytes_N[kept].astype(float)
    count = len(year_N)
    if count < 3 or np.ptp(year_N) == 0 or not np.isfinite(bits_N).all():
        return Estimate(value=None, count=count)
    rate_N = bits_N / bytes_N
    away_N = year_N - np.average(year_N, weights=bytes_N)
    spread = (bytes_N * away_N**2).sum()
    value = (bytes_N * away_N * rate_N).sum() / spread
    residual_N = rate_N - np.average(rate_N, weights=bytes_N) - value * away_N
    stderr = math.sqrt(count / (count - 2) * ((bytes_N * away_N * residual_N) ** 2).sum()) / spread
    return Estimate(value=float(value), stderr=stderr, count=count)
