import pytest

from tasks.benchmarks.items import Document
from tasks.benchmarks.last_word import PASSAGE_BYTES, bare_word, last_word_items, passages

SENTENCE = "one two three four five six seven eight nine ten {}"


def test_a_passage_is_asked_for_its_last_word():
    assert list(passages(SENTENCE.format("eleven."))) == [("one two three four five six seven eight nine ten", " eleven")]
    assert list(passages(SENTENCE.format("eleven"))) == list(passages(SENTENCE.format("eleven.")))


def test_a_text_is_cut_into_passages_that_end_with_a_sentence_where_they_can():
    sentences = [f"The {word} dog of the old farmer runs through the wet {word} field and barks." for word in ("red", "brown", "third", "last")] * 3
    found = list(passages(" ".join(sentences)))
    assert len(found) > 2 and {word for _, word in found} == {" barks"}
    assert all(len((passage + word).encode()) <= PASSAGE_BYTES for passage, word in found)
    assert " ".join(f"{passage}{word}." for passage, word in found) == " ".join(sentences)


@pytest.mark.parametrize(
    "text", ["", "too few words here", "1 2 3 4 5 6 7 8 9 10 11 12", "狗喜歡在公園裡跑來跑去。" * 40, "x" * 2000, "สุนัขชอบวิ่ง " * 20]
)
def test_texts_without_a_last_word(text):
    assert list(passages(text)) == []


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("end.", "end"),
        ("fin!»", "fin"),
        ("हिन्दी।", "हिन्दी"),
        ("don't", None),
        ("x1", None),
        ("(cut", None),
        ("犬", None),
        ("...", None),
        ("한국어", "한국어"),
    ],
)
def test_a_word_is_of_letters_alone(token, word):
    assert bare_word(token) == word


def test_items_are_drawn_by_the_seed():
    documents = [Document(f"d{i:02}", "prose", SENTENCE.format(word)) for i, word in enumerate(["red", "green", "blue", "grey"] * 5)]
    items = last_word_items("last-word-prose", documents, seed=0, max_items=7)
    assert items == last_word_items("last-word-prose", documents, seed=0, max_items=7) != last_word_items("last-word-prose", documents, 1, 7)
    assert [item.id for item in items] == sorted(item.id for item in items) and len({item.id for item in items}) == 7
    assert len(last_word_items("last-word-prose", documents, seed=0, max_items=100)) == 20
