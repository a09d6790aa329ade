import numpy as np
import pytest

from models.frozen import StudyError
from tasks.benchmarks.items import Document
from tasks.probes.age import Age, parse, slope
from tasks.probes.base import Subject
from tasks.probes.config import AgeConfig


def ask(documents, bits, by="year"):
    return {(answer.benchmark, answer.metric): answer.estimate for answer in Age(AgeConfig.model_validate({"by": by}), documents).ask(subject(bits))}


def subject(bits) -> Subject:
    """Age looks at losses alone."""
    return Subject(model=None, context=64, bits_N=np.array(bits, float), items={}, outlines={}, training=None)  # type: ignore[arg-type]


def dated(*dates, domain="news", text="ten bytes!"):
    return [Document(f"{domain}:{number}", domain, text, date=date) for number, date in enumerate(dates)]


def test_loss_is_by_year_and_its_slope_per_year():
    documents = [*dated("2001-07-01", "2002-07-01T10:00:00Z", "2003-07", "2003", None), *dated(None, None, domain="undated")]
    found = ask(documents, [10, 12, 14, 14, 99, 99, 99])
    assert list(found) == [("heldout-age/news", "bits_per_byte_per_year"), *((f"heldout-age/news/{y}", "bits_per_byte") for y in (2001, 2002, 2003))]
    assert [estimate.value for estimate in found.values()] == pytest.approx([0.2, 1.0, 1.2, 1.4])
    assert [estimate.count for estimate in found.values()] == [4, 1, 1, 2]
    assert found["heldout-age/news", "bits_per_byte_per_year"].stderr == pytest.approx(0, abs=1e-12)


def test_loss_is_by_month():
    found = ask(dated("2001-07-01", "2001-08", "2001"), [10, 12, 14], by="month")
    assert [benchmark for benchmark, _ in found] == ["heldout-age/news", "heldout-age/news/2001-07", "heldout-age/news/2001-08"]


def test_the_slope_is_of_all_bytes_and_its_error_is_its_spread():
    generator = np.random.default_rng(0)
    slopes = []
    for _ in range(1500):
        years, size = generator.uniform(2000, 2020, 80), generator.integers(100, 3000, 80)
        rates = 1.5 + 0.01 * (years - 2010) + generator.normal(0, 0.05, 80) * (1 + np.abs(years - 2010) / 5)
        slopes.append(slope(years, rates * size, size))
    assert np.mean([found.value for found in slopes]) == pytest.approx(0.01, abs=0.0005)
    assert np.mean([found.stderr for found in slopes]) == pytest.approx(np.std([found.value for found in slopes]), rel=0.1)


def test_one_date_or_two_documents_have_no_slope():
    assert slope(np.array([2001.0, 2002.0]), np.ones(2), np.ones(2)).value is None
    assert slope(np.full(5, 2001.0), np.ones(5), np.ones(5)).model_dump() == {"value": None, "stderr": None, "count": 5}


@pytest.mark.parametrize(
    ("date", "parts"),
    [("2013-05-18T01:02:03Z", (2013, 5, 18)), ("20130518", (2013, 5, 18)), ("2013", (2013, None, None)), ("18 May 2013", None), ("2013-14", None)],
)
def test_dates_are_iso_8601(date, parts):
    assert parse(date) == parts


@pytest.mark.parametrize(("date", "why"), [(None, "their sources give none"), ("May 2013", "'May 2013' is not of the form YYYY-MM-DD")])
def test_no_dates_are_one_sentence(date, why):
    with pytest.raises(
        StudyError, match=rf"none of the 2 held-out documents has a date \({why}\): give the sources a column `date`, or leave age out"
    ):
        ask(dated(date, date), [1, 1])


def test_another_text_of_a_year_is_another_version_of_that_year_alone():
    def outlines(documents):
        return [answer.outline for answer in Age(AgeConfig(), documents).ask(subject([1] * len(documents)))]

    before, after = outlines(dated("2001", "2002")), outlines([*dated("2001"), *dated("2001", "2002", text="ten words!")[1:]])
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, False]
