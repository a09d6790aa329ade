"""All probes, asked by the stage."""

import json
import shutil

import fasttext
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks import layout
from tasks.benchmarks.version import read_outlines
from tasks.evaluate import evaluate
from tasks.items import write_items
from tasks.probes.asked import read_contamination
from tasks.probes.config import ProbesConfig
from tests.tasks.probes import overfitted_study
from tests.tasks.probes.overfitted_study import MIXTURE, RECIPE, RUN

TABLE = layout.EVALUATIONS / f"{MIXTURE}.parquet"
ALL = {
    "contamination": {},
    "membership": {"excerpt_tokens": 16},
    "extraction": {"prompt_tokens": 8, "continuation_tokens": 8},
    "toxicity": {"classifier": "classifier.bin", "label": "toxic", "prompt_tokens": 6, "continuation_tokens": 8, "generations": 10},
    "age": {},
}


@pytest.fixture
def study(overfitted, study_folder):
    """In this process; a held-out document stands in the corpus too, within another."""
    shutil.copytree(overfitted.folder, study_folder, dirs_exist_ok=True)
    leak = overfitted.documents[3]
    kept = [document for domain in ("letters", "poems") for document in overfitted_study.documents(domain, 60, seed=2)]
    kept[5] = kept[5]._replace(text=f"{kept[5].text} {leak.text.upper()} And more.")
    shutil.rmtree(layout.kept(RECIPE))
    overfitted_study.write(layout.kept(RECIPE), kept)
    evaluation = overfitted.study.evaluation.model_copy(update={"probes": ProbesConfig.model_validate(ALL)})
    study = overfitted.study.model_copy(update={"evaluation": evaluation, "hardware": overfitted.study.hardware.model_copy(update={"workers": 1})})
    (study_folder / "lines.txt").write_text("".join(f"__label__{label} {word}\n" for label, word in (("toxic", "ka lo"), ("fine", "mi tu")) * 20))
    fasttext.train_supervised(str(study_folder / "lines.txt"), dim=4, bucket=100, thread=1, verbose=0).save_model("classifier.bin")
    write_items(study)
    return study


def without(study, *probes):
    kept = {name: settings for name, settings in ALL.items() if name not in probes}
    return study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"probes": ProbesConfig.model_validate(kept)})})


def test_probes_are_rows_behind_those_of_the_benchmarks(study, overfitted):
    evaluate(without(study, *ALL), MIXTURE)
    before = pq.read_table(TABLE).to_pylist()
    evaluate(study, MIXTURE)
    rows = pq.read_table(TABLE).to_pylist()
    assert rows[: len(before)] == before
    found = {(row["benchmark"], row["metric"]): row for row in rows[len(before) :]}
    assert len(found) == len(rows) - len(before)
    assert found["membership/poems", "min_k_plus_plus_auc"]["value"] > 0.98
    assert found["extraction/poems", "exact_share"]["value"] > 0.9
    assert found["extraction/poems", "heldout_exact_share"]["value"] == 0
    assert 0 <= found["toxicity", "toxic_share"]["value"] <= 1
    assert found["heldout-age/letters/2001", "bits_per_byte"]["count"] == 10
    assert found["contamination/heldout/letters", "contaminated_items"]["value"] == 1
    assert all(row["version"] and row["run"] == RUN for row in rows)
    assert {row["benchmark"] for row in rows} == set(read_outlines(TABLE))


def test_contaminated_items_are_named_in_the_table(study, overfitted):
    evaluate(without(study, "membership", "extraction", "toxicity", "age"), MIXTURE)
    found = read_contamination(TABLE)
    leak = overfitted.documents[3]
    (overlap,) = found["heldout/letters"].overlaps
    assert (overlap.item, overlap.document, overlap.share) == (leak.id, "letters:2:005", 1.0)
    assert overlap.text == leak.text.removesuffix(".")
    assert not found["heldout/poems"].overlaps
    last_word = found["last-word-letters"]
    asked = [json.loads(line)["id"] for line in (layout.ITEMS / "own" / "last-word-letters.jsonl").read_text().splitlines()]
    assert [item.partition("#")[0] for item, is_in in zip(asked, last_word.contaminated, strict=True) if is_in] == [leak.id]
    evaluate(without(study, *ALL), MIXTURE)
    assert read_contamination(TABLE) == {}


def test_snapshots_are_asked_the_same_under_the_same_versions(study):
    run = layout.RUNS / MIXTURE / RUN
    shutil.copytree(run / "model", run / "snapshots" / "704")  # half of its tokens
    evaluation = study.evaluation.model_copy(update={"average_checkpoints": 2})
    evaluate(study.model_copy(update={"evaluation": evaluation}), MIXTURE)
    curves = {}
    for row in pq.read_table(TABLE).to_pylist():
        curves.setdefault((row["benchmark"], row["metric"]), {})[row["checkpoint"]] = row
    assert all(list(curve) == ["snapshot", "final", "average"] for curve in curves.values())
    assert all(curve["snapshot"]["version"] == curve["final"]["version"] for curve in curves.values())
    membership = curves["membership/poems", "min_k_plus_plus_auc"]
    assert membership["snapshot"]["count"] < membership["final"]["count"]  # it had read less by then


@pytest.mark.slow
def test_the_same_study_gives_the_same_bytes(study):
    tables = []
    for _ in range(2):
        evaluate(study, MIXTURE)
        tables.append(TABLE.read_bytes())
    assert tables[0] == tables[1]


def test_none_is_asked_unless_it_is_named():
    assert not ProbesConfig().asked
    assert ProbesConfig.model_validate({"age": {}}).asked
    with pytest.raises(ValidationError, match="Field required"):
        ProbesConfig.model_validate({"toxicity": {}})


def test_every_probe_says_what_it_costs():
    assert all("Costs" in (field.description or "") for field in ProbesConfig.model_fields.values())
