from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.frozen import StudyError
from tasks.steps.base import StepContext
from tasks.steps.fitted_rules import FittedRules
from tasks.steps.gopher_quality import GopherQuality
from tests.tasks.steps.some_documents import apply, documents, reasons

CONTEXT = StepContext(seed=0, recipe="test", directory=Path())
RANDOM = np.random.default_rng(0)


def texts(mean_word_characters: float, count: int = 400) -> list[str]:
    """Of 60 words, whose mean length has a standard deviation of about 0.5 over documents."""
    sizes = np.maximum(1, RANDOM.normal(mean_word_characters, 0.5, (count, 1)) + RANDOM.normal(0, 1, (count, 60))).round().astype(int)
    return [" ".join("x" * size for size in of_document) for of_document in sizes]


def table(lang: str, mean_word_characters: float, domain: str = "wiki") -> pa.Table:
    return documents(texts(mean_word_characters), domain=domain, source=lang, lang=lang)


def step(method: str, **settings) -> FittedRules:
    rules = GopherQuality(step="gopher-quality", max_mean_word_length=6.0, min_stop_words=None)
    return FittedRules(step="fitted-rules", rules=rules, reference_domains=("wiki",), method=method, **settings)  # pyright: ignore[reportArgumentType]


def fit(fitted: FittedRules, *tables: pa.Table) -> dict:
    return fitted.reduce([fitted.map(part, CONTEXT) for part in tables], CONTEXT)


@pytest.mark.parametrize("method", ["quantile", "mean-std"])
def test_a_language_of_longer_words_loses_as_much_as_the_given_one(method):
    english, finnish = table("en", 5.0), table("fi", 8.0)
    fitted = step(method)
    state = fit(fitted, english, finnish)
    assert "en" not in state
    assert 8.5 < state["fi"]["long words"]["maximum"] < 9.5
    given = reasons(apply(fitted, finnish, state={}))
    shares = [len(reasons(apply(fitted, part, state=state))) / part.num_rows for part in (english, finnish)]
    assert len(given) == finnish.num_rows
    assert shares[0] > 0.005
    assert abs(shares[0] - shares[1]) < 0.02


def test_a_ratio_of_medians_scales_the_threshold():
    state = fit(step("median-ratio"), table("en", 5.0), table("fi", 8.0))
    assert state["fi"]["long words"]["maximum"] == pytest.approx(6 * 8 / 5, rel=0.02)


def test_a_tail_is_cut_of_every_language():
    english, finnish = table("en", 5.0), table("fi", 8.0)
    fitted = step("tail", tail=0.1)
    state = fit(fitted, english, finnish)
    for part in (english, finnish):
        assert reasons(apply(fitted, part, state=state)).count("long words") == pytest.approx(40, abs=2)


def test_thresholds_do_not_depend_on_how_the_reference_is_cut():
    whole = pa.concat_tables([table("en", 5.0), table("fi", 8.0)])
    fitted = step("quantile", max_documents=150)
    assert fit(fitted, whole) == fit(fitted, *(whole.slice(i, 97) for i in reversed(range(0, whole.num_rows, 97))))


def test_few_reference_documents_leave_a_language_as_given():
    state = fit(step("quantile"), table("en", 5.0), table("fi", 8.0).slice(0, 50))
    assert state == {}
    assert reasons(apply(step("quantile"), documents(texts(8.0, 1), lang=None), state=state)) == ["long words"]


def test_without_a_reference_it_says_what_to_do():
    with pytest.raises(StudyError, match=r"no document of wiki has a language.*`language` before"):
        fit(step("tail"), table("en", 5.0, domain="web"))
    with pytest.raises(StudyError, match=r"given_language 'en', fewer than min_documents 100.*`tail`"):
        fit(step("quantile"), table("fi", 8.0))
