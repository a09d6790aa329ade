import re

import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.corpus_diff import corpus_diff, print_diff
from tasks.curate import curate
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, write_shards
from tasks.study import Recipe, Study
from tests.tasks.steps.some_documents import documents

LONG = "the river and its old bridge have stood with that quiet town of mills since people began to trade wool there " * 4


@pytest.fixture
def curated(study_folder, default_study: Study) -> Study:
    """`strict` drops ten short texts of notes, and the copies of a page; `loose` drops the copies, and trims."""
    texts = [f"{LONG} {i}" for i in range(40)] + [f"{i} short" for i in range(10)] + [f"{LONG} 0"] * 3
    domains = ["web"] * 40 + ["notes"] * 10 + ["web"] * 3
    write_shards(layout.kept(layout.POOL), [documents(texts, domain=domains)], DOCUMENT_SCHEMA)
    write_shards(layout.removed(layout.POOL), [], REMOVED_SCHEMA)
    copies = {"step": "exact-duplicates"}
    recipes = {
        "loose": Recipe.model_validate({"from": "pool", "steps": [copies, {"step": "normalize"}]}),
        "strict": Recipe.model_validate({"from": "loose", "steps": [{"step": "gopher-quality", "max_removed_of_source": 1}]}),
    }
    study = default_study.model_copy(update={"recipes": recipes, "mixtures": {}})
    for name in recipes:
        curate(study, name)
    return study


def test_what_one_recipe_drops_of_what_another_keeps(curated, capsys):
    diff = corpus_diff(curated, "loose", "strict")
    assert (diff.documents, diff.rewritten) == (50, 0)
    (notes,) = diff.dropped
    assert (notes.step, notes.reason, notes.domain, notes.source) == ("gopher-quality", "too few words", "notes", "s")
    assert (notes.documents, notes.values, notes.threshold) == (10, (2, 2, 2), 50)
    assert notes.bytes == 10 * len("0 short")
    assert all(re.fullmatch(r"\d short", shown.beginning) for shown in notes.sample)
    assert [(of.domain, of.documents, of.dropped_documents, of.dropped_bytes) for of in diff.domains] == [("notes", 10, 10, 70), ("web", 40, 0, 0)]
    assert notes.tokens is None and {(of.tokens, of.dropped_tokens) for of in diff.domains} == {(None, None)}, "nothing is tokenized here"
    print_diff(curated, "loose", "strict")
    assert capsys.readouterr().out.startswith(
        "'strict' drops 10 of the 50 documents that 'loose' keeps (0.0 MB); rewrites 0.\n\ngopher-quality, too few"
    )


def test_the_whole_way_from_the_pool_counts_and_rewritten_text_is_no_loss(curated):
    diff = corpus_diff(curated, "pool", "strict")
    assert {(group.step, group.documents) for group in diff.dropped} == {("exact-duplicates", 3), ("gopher-quality", 10)}
    assert diff.rewritten == 0
    back = corpus_diff(curated, "strict", "pool")
    assert (back.documents, back.dropped) == (40, ())


def test_an_unknown_recipe_is_a_sentence(curated):
    with pytest.raises(StudyError, match="There is no recipe 'lose': the study has pool, loose, strict"):
        corpus_diff(curated, "lose", "strict")
