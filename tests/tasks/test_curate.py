import hashlib
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.curate import CURATION, curate
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, read_shards, text_bytes, write_shards
from tasks.steps.funnel import load_funnel, load_funnel_chain
from tasks.study import Mixture, Recipe, Study, load_study
from tests.models.test_quality_classifier import MUSIC, RIVER, texts
from tests.tasks.steps.some_documents import documents

QUALITY = {"step": "gopher-quality", "min_words": 20, "min_mean_word_length": None, "min_stop_words": None}
OPEN = {"max_removed": 1, "max_removed_of_source": 1}
RULES = [{"step": "normalize"}, {**QUALITY, "skip_domains": ["notes"]}]
CLASSIFIER = {"buckets": 1000, "min_word_count": 1, "epochs": 20, "learning_rate": 0.5}
LEARNED = [
    {"step": "exact-duplicates"},
    {"step": "quality-classifier", "reference_domains": ["rivers"], "classifier": CLASSIFIER},
    {"step": "top-fraction", "fraction": 0.5, "skip_domains": ["rivers"]},
]


def corpus() -> pa.Table:
    """Rivers, music, notes (short), with some short, empty and repeated documents among them; shuffled."""
    rows = [("rivers", text) for text in texts(RIVER, 120, 0)] + [("music", text + " \r\n") for text in texts(MUSIC, 120, 1)]
    rows += [("notes", f"note {i}") for i in range(20)] + [("rivers", "too short"), ("notes", " \n"), ("music", "")]
    rows += [("music", text.upper()) for text in texts(MUSIC, 10, 1)]
    random.Random(0).shuffle(rows)
    return documents([text for _, text in rows], domain=[domain for domain, _ in rows])


@pytest.fixture
def study(study_folder, default_study) -> Study:
    write_shards(layout.kept(layout.POOL), [corpus()], DOCUMENT_SCHEMA, shard_bytes=6000)
    recipes = {
        "raw": Recipe.model_validate({"from": "pool"}),
        "clean": Recipe.model_validate({"from": "pool", "steps": RULES}),
        "quality": Recipe.model_validate({"from": "clean", "steps": LEARNED}),
        "all": Recipe.model_validate({"from": "pool", "steps": RULES + LEARNED}),
    }
    mixtures = {"natural": Mixture(recipe="quality", weights="natural")}
    return with_workers(default_study.model_copy(update={"recipes": recipes, "mixtures": mixtures}), 1)


def with_workers(study: Study, workers: int) -> Study:
    return study.model_copy(update={"hardware": study.hardware.model_copy(update={"workers": workers})})


def with_recipe(study: Study, steps: list[dict], **update) -> Study:
    recipes = {"x": Recipe.model_validate({"from": "pool", "steps": steps, **update})}
    return study.model_copy(update={"recipes": recipes, "mixtures": {"m": Mixture(recipe="x", weights="natural")}})


def digest(name: str) -> dict[str, str]:
    root = layout.CORPORA / name
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


def rows(directory: Path) -> list[dict]:
    return pa.concat_tables(read_shards(directory)).to_pylist()


def test_a_recipe_without_steps_keeps_everything_and_counts_it(study):
    curate(study, "raw")
    assert rows(layout.kept("raw")) == corpus().to_pylist()
    assert rows(layout.removed("raw")) == []
    assert [(row.step, row.domain, row.documents_in) for row in load_funnel("raw")] == [
        ("input", "music", 131),
        ("input", "notes", 21),
        ("input", "rivers", 121),
    ]
    assert sum(row.bytes_out for row in load_funnel("raw")) == text_bytes(corpus())


def test_every_document_is_kept_or_removed_with_its_reason(study):
    record = curate(study, "all")
    kept, removed = rows(layout.kept("all")), rows(layout.removed("all"))
    assert sorted(row["id"] for row in kept + removed) == sorted(corpus()["id"].to_pylist())
    assert {(row["step"], row["reason"]) for row in removed} == {
        ("normalize", "empty"),
        ("gopher-quality", "too few words"),
        ("exact-duplicates", "exact-duplicate"),
        ("top-fraction", "low score"),
    }
    assert [row["step"] for row in removed] == sorted((row["step"] for row in removed), key=[step["step"] for step in RULES + LEARNED].index)
    assert [row["id"] for row in kept] == sorted(row["id"] for row in kept)
    assert not any(row["text"].endswith("\n") for row in kept)
    assert json.loads(layout.funnel("all").read_text()) == [row.model_dump() for row in record.funnel]
    assert not list(CURATION.glob("*/"))


def test_the_funnel_adds_up(study):
    funnel = curate(study, "all").funnel
    for row in funnel:
        assert row.documents_in == row.documents_out + sum(amount.documents for amount in row.removed.values())
        assert row.step == "normalize" or row.bytes_in == row.bytes_out + sum(amount.bytes for amount in row.removed.values())
    for earlier, later in zip(funnel, funnel[3:], strict=False):
        assert (earlier.domain, earlier.documents_out, earlier.bytes_out) == (later.domain, later.documents_in, later.bytes_in)
    assert {row.domain: row.documents_out for row in funnel[-3:]} == {"music": 60, "notes": 10, "rivers": 120}


def test_kept_documents_have_the_annotated_columns_in_stable_types(study):
    curate(study, "all")
    (path,) = layout.kept("all").glob("part-*.parquet")
    assert pq.read_schema(path).equals(pa.schema([*DOCUMENT_SCHEMA, pa.field("cluster_size", pa.int64()), pa.field("quality_score", pa.float32())]))
    (path,) = layout.removed("all").glob("part-*.parquet")
    assert pq.read_schema(path).equals(REMOVED_SCHEMA)


def test_two_recipes_in_a_row_are_the_same_as_one(study):
    for name in ("clean", "quality", "all"):
        curate(study, name)
    assert rows(layout.kept("quality")) == rows(layout.kept("all"))
    assert rows(layout.removed("clean")) + rows(layout.removed("quality")) == rows(layout.removed("all"))
    chain = load_funnel_chain(study, "quality")
    assert [corpus for corpus, _ in chain] == ["clean", "quality"]
    assert [row for _, funnel in chain for row in funnel] == load_funnel("all")


def test_the_cut_of_the_input_changes_no_byte(study):
    curate(study, "all")
    expected = digest("all")
    for shard_bytes in (1000, 10**9):
        for path in layout.kept(layout.POOL).glob("*"):
            path.unlink()
        write_shards(layout.kept(layout.POOL), [corpus()], DOCUMENT_SCHEMA, shard_bytes=shard_bytes)
        curate(study, "all")
        assert digest("all") == expected


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(study):
    curate(study, "all")
    expected = digest("all")
    assert {"kept/part-00000.parquet", "removed/part-00000.parquet", "funnel.json", "steps.json"} == expected.keys()
    for workers in (2, 7):
        curate(with_workers(study, workers), "all")
        assert digest("all") == expected


def test_what_the_corpus_steps_learned_is_recorded(study):
    curate(study, "all")
    records = json.loads((layout.CORPORA / "all" / "steps.json").read_text())
    assert [(record["step"], record["position"]) for record in records] == [("exact-duplicates", 2), ("quality-classifier", 3), ("top-fraction", 4)]
    assert records[1]["record"]["auc"] > 0.9


def test_a_step_that_sees_no_document_is_passed(study):
    everything = ["music", "notes", "rivers"]
    curate(with_recipe(study, [{"step": "exact-duplicates", "skip_domains": everything}, {"step": "normalize", "skip_domains": everything}]), "x")
    assert rows(layout.kept("x")) == [{**row, "cluster_size": None} for row in corpus().to_pylist()]
    assert json.loads((layout.CORPORA / "x" / "steps.json").read_text()) == [{"step": "exact-duplicates", "position": 0, "record": None}]


def test_a_recipe_that_removes_everything_is_refused_and_the_last_output_stays(study):
    curate(with_recipe(study, []), "x")
    before = digest("x")
    with pytest.raises(StudyError, match=r"removes every document: gopher-quality removed 131 of 131 documents of music \(too few words 131\); "):
        curate(with_recipe(study, [{"step": "gopher-quality", "min_words": 10_000, **OPEN}]), "x")
    assert digest("x") == before


def test_a_step_that_removes_too_much_is_refused_and_what_is_done_is_not_done_again(study):
    curate(with_recipe(study, []), "x")
    before = digest("x")
    strict = {"step": "gopher-quality", "min_words": 10_000}
    steps = [{"step": "exact-duplicates"}, strict]
    with pytest.raises(StudyError, match=r"Recipe 'x', step 2: gopher-quality takes away .* of the corpus, more than its max_removed 0.5 allows"):
        curate(with_recipe(study, steps), "x")
    assert digest("x") == before
    done = {path: path.stat().st_mtime_ns for path in CURATION.rglob("*.pickle")}
    assert len(done) > 2
    with pytest.raises(StudyError, match="removes every document"):
        curate(with_recipe(study, [steps[0], {**strict, **OPEN}]), "x")
    assert {path: path.stat().st_mtime_ns for path in CURATION.rglob("*.pickle")} == done
    with pytest.raises(StudyError, match="removes every document"):
        curate(with_recipe(study, [steps[0], {**strict, **OPEN, "min_words": 9_999}]), "x")
    kept = {path for path in CURATION.rglob("*.pickle") if path.stat().st_mtime_ns == done.get(path)}
    assert {path.parent.name.split("-")[1] for path in kept} == {"exact"}


def test_a_domain_that_a_mixture_uses_may_not_be_emptied(study):
    with pytest.raises(
        StudyError, match=r"leaves nothing of domain 'notes', which mixture 'm' uses: gopher-quality removed 21 of 21 .* \(too few words 21\); loosen"
    ):
        curate(with_recipe(study, [QUALITY]), "x")
    curate(with_recipe(study, [QUALITY], may_empty=["notes"]), "x")
    weighted = with_recipe(study, [QUALITY], may_empty=["notes"])
    weighted = weighted.model_copy(update={"mixtures": {"m": Mixture(recipe="x", weights={"notes": 0.5, "music": 0.5})}})
    with pytest.raises(StudyError, match="'notes'"):
        curate(weighted, "x")
    unused = weighted.model_copy(update={"mixtures": {"m": Mixture(recipe="x", weights={"notes": 0, "music": 1})}})
    curate(unused, "x")


def test_the_base_of_a_used_recipe_may_not_be_emptied_either(study):
    recipes = {"base": Recipe.model_validate({"from": "pool", "steps": [QUALITY]}), "x": Recipe.model_validate({"from": "base"})}
    with pytest.raises(StudyError, match="'notes', which mixture 'm' uses"):
        curate(study.model_copy(update={"recipes": recipes, "mixtures": {"m": Mixture(recipe="x", weights="uniform")}}), "base")


def test_an_unknown_recipe_and_a_missing_pool_are_sentences(study, study_folder):
    with pytest.raises(StudyError, match="There is no recipe 'rwa': the study has raw, clean"):
        curate(study, "rwa")
    layout.kept(layout.POOL).rename(study_folder / "away")
    with pytest.raises(StudyError, match=r"There are no documents in data/corpora/pool/kept: run the stage"):
        curate(study, "raw")


@pytest.mark.parametrize(("key", "place"), [("skip_domains: [code]", "clean.language.skip_domains"), ("reference_domains: [", "reference_domains")])
def test_a_step_that_names_an_unknown_domain_is_refused(study_folder, key, place):
    params = (study_folder / "params.yaml").read_text()
    (study_folder / "params.yaml").write_text(params.replace(key, key.split("[")[0] + "[codes, " + key.split("[")[1], 1))
    with pytest.raises(StudyError, match=rf"{place}: 'codes' is not known \(did you mean 'code'\?\)"):
        load_study()


@pytest.mark.slow
def test_as_a_stage(study, study_folder, run_stage):
    """The default study's `raw`, in a process; a person's error is one line."""
    ended = run_stage(study_folder, "curate", "raw")
    assert ended.returncode == 0, ended.stderr
    assert len(rows(layout.kept("raw"))) == corpus().num_rows
    ended = run_stage(study_folder, "curate", "quality")
    assert ended.returncode == 2
    assert (
        ended.stderr == "assay: There are no documents in data/corpora/clean/kept: run the stage that writes it (`dvc repro`), or `dvc checkout`.\n"
    )
