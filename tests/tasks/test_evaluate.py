import json
import shutil
import socket

import pyarrow.parquet as pq
import pytest

from models.frozen import StudyError
from models.training_plan import TrainingConfig
from tasks import layout
from tasks.benchmarks.version import read_outlines
from tasks.evaluate import evaluate
from tasks.evaluation_table import EVALUATION_SCHEMA, read_decisive
from tasks.items import write_items
from tasks.run_states import heldout_versions
from tasks.study import load_study
from tests.tasks import evaluation_study
from tests.tasks.evaluation_study import MIXTURE

TABLE = layout.EVALUATIONS / f"{MIXTURE}.parquet"
LM_METRICS = {"accuracy", "answer_bits_per_byte", "correct_choice_log_likelihood", "correct_choice_probability", "margin"}
MUTUAL_INFORMATION = {"normalized_accuracy", "mutual_information_accuracy", "mutual_information_probability"}
LAST_WORD_METRICS = {"accuracy", "answer_bits_per_byte", "answer_log_likelihood"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two completed runs and a diverged one, which has no model."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluation_study.write_heldout()
        evaluation_study.tokenizer().save_pretrained(layout.TOKENIZER)
        for seed in (1, 2):
            evaluation_study.export(evaluation_study.write_run(seed) / "model", seed)
        evaluation_study.write_run(3, status="diverged")
    return folder


@pytest.fixture
def study(study_folder, trained):
    """In this process, unless a test runs the stage's command."""
    shutil.copytree(trained, study_folder, dirs_exist_ok=True)
    parameters = study_folder / "params.yaml"
    parameters.write_text(parameters.read_text().replace("hardware:\n", "hardware:\n  workers: 1\n"))
    study = load_study(parameters)
    write_items(study)
    return study


def test_one_row_is_one_metric_of_one_run_on_one_benchmark(study):
    record = evaluate(study, MIXTURE)
    table = pq.read_table(TABLE)
    assert table.schema.equals(EVALUATION_SCHEMA)
    rows = table.to_pylist()
    assert record.rows == len(rows)
    rows = [row for row in rows if row["metric"] != "truncated_items"]
    assert record.runs == 2
    keys = [(row["run"], row["benchmark"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys)
    expected = {(f"heldout/{domain}", "bits_per_byte") for domain in ("code", "dictionary", "encyclopedia")}
    expected |= {("title-choice", metric) for metric in LM_METRICS}
    expected |= {("definition-choice", metric) for metric in LM_METRICS | MUTUAL_INFORMATION}
    expected |= {(f"last-word-{domain}", metric) for domain in ("code", "dictionary", "encyclopedia") for metric in LAST_WORD_METRICS}
    for seed in (1, 2):  # and not the diverged one
        assert {key[1:] for key in keys if key[0] == f"30k-1x-seed{seed}"} == expected
    assert {row["run"] for row in rows} == {"30k-1x-seed1", "30k-1x-seed2"}
    assert all(row["value"] is not None and row["stderr"] is not None and row["count"] > 0 for row in rows)
    assert {row["tokens"] for row in rows} == {29_000}


def test_runs_differ_in_values_and_share_versions(study):
    evaluate(study, MIXTURE)
    rows = pq.read_table(TABLE).to_pylist()
    first, second = ([row for row in rows if row["seed"] == seed] for seed in (1, 2))
    assert [row["version"] for row in first] == [row["version"] for row in second]
    assert len({row["version"] for row in first}) == len(first)
    assert all(one["value"] != other["value"] for one, other in zip(first, second, strict=True) if one["metric"] == "bits_per_byte")


def test_the_same_study_gives_the_same_bytes_with_no_network(study, monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"the network was asked for {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    evaluate(study, MIXTURE)
    first = TABLE.read_bytes()
    shutil.rmtree(layout.LOCAL)
    write_items(study)
    evaluate(study, MIXTURE)
    assert TABLE.read_bytes() == first


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(study, study_folder, run_stage):
    evaluate(study, MIXTURE)
    alone = TABLE.read_bytes()
    parameters = study_folder / "params.yaml"
    parameters.write_text(parameters.read_text().replace("workers: 1\n", "workers: 2\n"))
    done = run_stage(study_folder, "evaluate", MIXTURE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert TABLE.read_bytes() == alone


def test_snapshots_are_asked_the_same_and_the_mean_over_the_last_speaks_for_the_run(study):
    for seed in (1, 2):
        run = layout.RUNS / MIXTURE / f"30k-1x-seed{seed}"
        shutil.copytree(run / "model", run / "snapshots" / "9000")
        evaluation_study.export(run / "snapshots" / "20000", seed + 10)
    ladder, asked = study.ladder.model_copy(update={"snapshots": (0.3, 0.7)}), study.evaluation.model_copy(update={"average_checkpoints": 2})
    evaluate(study.model_copy(update={"ladder": ladder, "evaluation": asked}), MIXTURE)
    curves = {}
    for row in pq.read_table(TABLE).to_pylist():
        curves.setdefault((row["run"], row["benchmark"], row["metric"]), {})[row["checkpoint"], row["tokens"]] = row["value"]
    assert all(list(curve) == [("snapshot", 9000), ("snapshot", 20_000), ("final", 29_000), ("average", 29_000)] for curve in curves.values())
    curve = curves["30k-1x-seed1", "heldout/code", "bits_per_byte"]
    assert curve["snapshot", 9000] == curve["final", 29_000] != curve["snapshot", 20_000]
    assert curve["average", 29_000] == (curve["snapshot", 20_000] + curve["final", 29_000]) / 2
    assert read_decisive(TABLE)["checkpoint"].unique().to_pylist() == ["average"]


def test_a_missing_model_is_one_sentence_and_leaves_the_last_table(study):
    evaluate(study, MIXTURE)
    before = TABLE.read_bytes()
    shutil.rmtree(layout.RUNS / MIXTURE / "30k-1x-seed2" / "model")
    with pytest.raises(StudyError, match=r"Run 30k-1x-seed2 is completed, but results/runs/.*/model holds no model: `dvc repro"):
        evaluate(study, MIXTURE)
    assert TABLE.read_bytes() == before


def test_no_runs_are_one_sentence(study):
    with pytest.raises(StudyError, match="There are no runs in results/runs/nothing: run `dvc repro pretrain@nothing` first"):
        evaluate(study, "nothing")


def test_a_mixture_whose_runs_all_diverged_has_an_empty_table(study):
    for seed in (1, 2):
        shutil.rmtree(layout.RUNS / MIXTURE / f"30k-1x-seed{seed}")
    assert evaluate(study, MIXTURE).rows == 0
    assert pq.read_table(TABLE).schema.equals(EVALUATION_SCHEMA)


def test_a_change_of_version_says_what_changed(study, capsys):
    evaluate(study, MIXTURE)
    evaluate(study, MIXTURE)
    assert "version" not in capsys.readouterr().out
    path = layout.ITEMS / "own" / "title-choice.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    evaluate(study, MIXTURE)
    said = capsys.readouterr().out
    assert f"title-choice has another version than in the last evaluation of {MIXTURE}: 0 of 11 items are new, 1 of 12 are gone.\n" in said
    assert "definition-choice" not in said


def test_benchmarks_of_files_and_of_a_folder_are_in_the_table(study, study_folder):
    lines = [json.dumps({"question": f"ka {i}", "choices": ["so", "mi"], "answer": i % 2}) for i in range(4)]
    (study_folder / "mine").mkdir()
    for name in ("a", "b"):
        (study_folder / f"mine/{name}.jsonl").write_text("\n".join(lines))
    evaluation = study.evaluation.model_copy(update={"suite": "custom", "item_files": {"mine": "mine"}, "num_fewshot": 1})
    study = study.model_copy(update={"evaluation": evaluation})
    for name in ("own", "mine"):
        write_items(study, name)
    evaluate(study, MIXTURE)
    rows = pq.read_table(TABLE).to_pylist()
    assert {row["benchmark"] for row in rows if "/" not in row["benchmark"]} == {"mine", "mine-a", "mine-b"}
    assert {row["count"] for row in rows if row["benchmark"] == "mine"} == {8}
    assert read_outlines(TABLE)["mine-a"].settings["num_fewshot"] == 1


def test_versions_on_held_out_text_are_known_without_a_model(study):
    evaluate(study, MIXTURE)
    at_64 = study.model_copy(update={"training": TrainingConfig(sequence_length=64)})  # the context of these models
    found = {row["benchmark"]: row["version"] for row in pq.read_table(TABLE).to_pylist() if row["metric"] == "bits_per_byte"}
    assert found == {f"heldout/{domain}": version for domain, version in heldout_versions(at_64).items()}
    assert found != {f"heldout/{domain}": version for domain, version in heldout_versions(study).items()}
