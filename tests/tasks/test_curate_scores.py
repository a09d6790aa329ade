"""Scores, draws and clusters together, as recipes use them."""

import json

import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.curate import curate
from tasks.documents import DOCUMENT_SCHEMA, write_shards
from tasks.steps.funnel import load_funnel
from tasks.study import Mixture, Recipe, Study, load_study
from tests.tasks.test_curate import corpus, digest, rows, with_workers

STEPS = [
    {"step": "normalize"},
    {"step": "dsir", "target": {"domains": ["rivers"]}},
    {"step": "ngram-perplexity", "reference": {"domains": ["rivers"]}, "order": 2, "skip_domains": ["notes"]},
    {"step": "combine-scores", "weights": {"log_importance": 1, "perplexity": -1}},
    {"step": "clusters", "clusters": 2, "dimensions": 4},
    {"step": "quadmix", "function": {"steepness": 5, "threshold": 0.5, "exponent": 1, "base_rate": 0.3}},
    {"step": "score-sampling", "score": "log_importance", "fraction": 0.8, "temperature": 5, "by": None},
]


@pytest.fixture
def study(study_folder, default_study) -> Study:
    write_shards(layout.kept(layout.POOL), [corpus()], DOCUMENT_SCHEMA, shard_bytes=6000)
    recipes = {"x": Recipe.model_validate({"from": "pool", "steps": STEPS})}
    return with_workers(default_study.model_copy(update={"recipes": recipes, "mixtures": {"m": Mixture(recipe="x", weights="natural")}}), 1)


def test_clusters_become_domains_and_documents_have_copies(study):
    curate(study, "x")
    kept = rows(layout.kept("x"))
    assert {row["domain"][:3] for row in kept} == {"c0-", "c1-"}
    assert {row["copies"] for row in kept} == {1, 2}  # those of notes have no perplexity, so no score: one copy
    funnel = load_funnel("x")
    moved = {row.domain: (row.documents_in, row.documents_out) for row in funnel if row.step == "clusters"}
    assert sum(came for came, _ in moved.values()) == sum(went for _, went in moved.values())
    assert all(came == 0 for domain, (came, _) in moved.items() if domain.startswith("c"))
    last = {row.domain: row.documents_out for row in funnel if row.step == "score-sampling"}
    assert sum(last.values()) == len(kept)
    records = {record["step"]: record["record"] for record in json.loads((layout.CORPORA / "x" / "steps.json").read_text())}
    assert set(records["clusters"]["documents_learned_from"]) == {row["domain"] for row in kept}
    schema = pq.read_schema(next(layout.kept("x").glob("part-*.parquet")))
    assert [name for name in schema.names if name not in DOCUMENT_SCHEMA.names] == [
        "log_importance",
        "perplexity",
        "combined_score",
        "cluster",
        "copies",
    ]


def test_the_cut_of_the_input_changes_no_byte(study):
    curate(study, "x")
    expected = digest("x")
    for path in layout.kept(layout.POOL).glob("*"):
        path.unlink()
    write_shards(layout.kept(layout.POOL), [corpus()], DOCUMENT_SCHEMA, shard_bytes=1000)
    curate(study, "x")
    assert digest("x") == expected


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(study):
    curate(study, "x")
    expected = digest("x")
    curate(with_workers(study, 2), "x")
    assert digest("x") == expected


def test_a_column_that_comes_later_is_refused(study):
    steps = [STEPS[3], *STEPS[:3]]
    swapped = study.model_copy(update={"recipes": {"x": Recipe.model_validate({"from": "pool", "steps": steps})}})
    with pytest.raises(StudyError, match="combine-scores has no column 'log_importance' to choose by: put the step that annotates it before it"):
        curate(swapped, "x")


def test_domains_that_are_found_may_be_named_before_anybody_knows_them(study_folder):
    text = layout.PARAMS.read_text()
    clustered = text.replace("    from: clean\n    steps:\n", "    from: clean\n    steps:\n      - step: clusters\n")
    layout.PARAMS.write_text(clustered.replace("        skip_domains: [encyclopedia, foreign, literature]\n", "        skip_domains: [c3-river]\n"))
    load_study()
    layout.PARAMS.write_text(clustered.replace("      - step: clusters\n", "      - step: clusters\n        skip_domains: [c3-river]\n"))
    with pytest.raises(StudyError, match=r"recipes.quality.clusters.skip_domains: 'c3-river' is not known"):
        load_study()
    quota = "      - step: domain-quota\n        quotas: {encyclopaedia: 5}\n"
    layout.PARAMS.write_text(text.replace("    from: clean\n    steps:\n", f"    from: clean\n    steps:\n{quota}"))
    with pytest.raises(StudyError, match=r"recipes.quality.domain-quota.quotas: 'encyclopaedia' is not known \(did you mean 'encyclopedia'\?\)"):
        load_study()
