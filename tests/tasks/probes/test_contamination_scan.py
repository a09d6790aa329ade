import random
from pathlib import Path

import pytest

from models.frozen import StudyError
from tasks.benchmarks.items import Document
from tasks.probes.config import ContaminationConfig
from tasks.probes.contamination_scan import Item, find_contamination
from tests.tasks.probes.overfitted_study import write

CONFIG = ContaminationConfig()


def words(seed: str, count: int) -> list[str]:
    """That no other seed has."""
    return [f"{seed}{number}" for number in random.Random(seed).sample(range(1000), count)]


def planted(kept: list[str], name: str) -> str:
    return " ".join([*words(f"before{name}", 30), *kept, *words(f"behind{name}", 30)])


def find(corpus: list[str], items: list[str], config=CONFIG, domain="web", folder=Path("corpus"), **arguments):
    write(folder, [Document(f"web:{number:03}", domain, text) for number, text in enumerate(corpus)], **arguments)
    asked = {"some": [Item(str(number), text) for number, text in enumerate(items)]}
    return find_contamination(config, asked, folder, ["web"], workers=1)["some"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_planted_items_are_found_and_no_others():
    items = [words(f"item{number}x", 20) for number in range(40)]
    corpus = [planted(items[number][2:15] if number % 3 == 0 else items[number][2:14], str(number)) for number in range(40)]  # 13 words, or 12
    found = find(corpus, [" ".join(item) for item in items])
    assert found.contaminated == tuple(number % 3 == 0 for number in range(40))
    assert found.judged == (True,) * 40
    for overlap in found.overlaps:
        number = int(overlap.item)
        assert overlap.text == " ".join(items[number][2:15])
        assert (overlap.words, overlap.document, overlap.share) == (13, f"web:{number:03}", 1 / 8)


def test_case_punctuation_and_white_space_make_no_difference():
    item = "Été: the QUICK brown-fox (jumps) over the lazy dog; and then, it sleeps again!"
    found = find(["-- été the quick\nbrown fox jumps\tover “the” lazy DOG and then it sleeps again and more"], [item])
    assert found.contaminated == (True,)


def test_an_ngram_does_not_cross_documents():
    item = words("a", 16)
    assert find([" ".join(item[:8]), " ".join(item[8:])], [" ".join(item)]).contaminated == (False,)


def test_a_domain_that_the_mixture_does_not_draw_from_is_not_looked_at():
    text = " ".join(words("a", 16))
    assert find([text], [text], domain="other").contaminated == (False,)


def test_short_items_are_looked_for_whole_and_very_short_ones_not_judged():
    nine, other, seven = words("a", 9), words("b", 9), words("c", 7)
    found = find([planted(nine, "1"), planted(other[:8], "2"), planted(seven, "3")], [" ".join(item) for item in (nine, other, seven)])
    assert found.judged == (True, True, False)
    assert found.contaminated == (True, False, False)


def test_a_share_may_be_asked_for():
    item = words("a", 22)  # ten n-grams
    corpus, asked = [planted(item[:15], "1")], [" ".join(item)]  # three of them
    shares = [0.25, 0.3, 0.35]
    assert [find(corpus, asked, ContaminationConfig(min_share=share)).contaminated[0] for share in shares] == [True, True, False]


def test_the_longest_piece_is_shown_and_the_first_document_named():
    item = words("a", 60)
    found = find(["nothing of it", planted(item[:13], "1"), planted(item[20:50], "2"), planted(item[20:50], "3")], [" ".join(item)])
    (overlap,) = found.overlaps
    assert overlap.text == " ".join(item[20:50])
    assert (overlap.words, overlap.document) == (30, "web:002")


def test_shards_and_workers_change_nothing():
    items = [words(f"item{number}x", 20) for number in range(30)]
    corpus = [planted(items[number % 30] if number % 2 else [], str(number)) for number in range(90)]
    asked = [" ".join(item) for item in items]
    whole, many = find(corpus, asked), find(corpus, asked, folder=Path("shards"), shard_bytes=2000)
    assert len(list(Path("shards").glob("part-*"))) > 5
    assert whole == many
    assert sum(whole.contaminated) == 15


@pytest.mark.slow
def test_processes_change_nothing():
    items = [words(f"item{number}x", 20) for number in range(30)]
    asked = [" ".join(item) for item in items]
    alone = find([planted(items[number % 30], str(number)) for number in range(90)], asked, shard_bytes=5000)
    together = find_contamination(CONFIG, {"some": [Item(str(n), text) for n, text in enumerate(asked)]}, Path("corpus"), ["web"], workers=2)["some"]
    assert alone == together


def test_no_corpus_is_one_sentence():
    with pytest.raises(StudyError, match="contamination: there are no documents in nowhere"):
        find_contamination(CONFIG, {}, Path("nowhere"), ["web"])
