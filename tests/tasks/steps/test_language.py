import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.steps.language import Language, LanguageModel, load
from tests.conftest import PROJECT
from tests.tasks.steps.some_documents import HOSTILE_PATTERNS, apply, documents, on_any_texts, reasons

ENGLISH = "The ship left the harbour in the morning, and nobody on board knew that it would not come back before the winter. " * 3
FRENCH = "Le navire quitta le port au matin, et personne à bord ne savait qu'il ne reviendrait pas avant l'hiver. " * 3
GERMAN = "Das Schiff verließ den Hafen am Morgen, und niemand an Bord wusste, dass es nicht vor dem Winter zurückkehren würde. " * 3
STEP = Language(step="language", keep=("en", "fr"))


@pytest.fixture(autouse=True, scope="module")
def archives():
    """The checkout's own: the model is fetched once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "ARCHIVES", PROJECT / layout.ARCHIVES)
        yield


def test_keeps_the_languages_asked_for_and_annotates():
    kept, removed = apply(STEP, documents([ENGLISH, FRENCH.replace(". ", ".\n"), GERMAN], lang=None))
    assert kept["lang"].to_pylist() == ["en", "fr"]
    assert all(0.8 < score <= 1 for score in kept["lang_score"].to_pylist())
    assert removed["reason"].to_pylist() == ["language de"]


def test_an_unsure_answer_is_a_reason_with_value_and_threshold():
    mixed = "xq zz 17 %% rr kk " * 20
    (row,) = apply(Language(step="language", min_score=0.9), documents([mixed])).removed.to_pylist()
    assert (row["reason"], row["threshold"]) == ("language unsure", 0.9)
    assert 0 <= row["value"] < 0.9


def test_short_texts_and_skipped_domains_keep_the_language_they_came_with():
    step = Language(step="language", keep=("en",), skip_domains=("code",))
    kept, removed = apply(step, documents(["Das Schiff.", " " * 500, GERMAN, GERMAN], domain=["d", "d", "code", "d"], lang="xx"))
    assert kept["lang"].to_pylist() == ["xx", "xx", "xx"]
    assert kept["lang_score"].to_pylist() == [None, None, None]
    assert removed["reason"].to_pylist() == ["language de"]


def test_only_the_beginning_is_read():
    assert reasons(apply(STEP.model_copy(update={"max_characters": len(ENGLISH)}), documents([ENGLISH + GERMAN * 20]))) == []


@on_any_texts
def test_any_text(texts):
    apply(STEP.model_copy(update={"min_bytes": 0}), documents(texts))


@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_hostile_text(pattern):
    apply(STEP.model_copy(update={"max_characters": 100_000}), documents([pattern * (100_000 // len(pattern))]))


def test_a_wrong_member_is_a_sentence():
    with pytest.raises(StudyError, match=r"No file of .* matches 'lid\.bin'"):
        load(**LanguageModel(member="lid.bin").model_dump())
