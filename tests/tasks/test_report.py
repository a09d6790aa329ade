import csv
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import yaml
from tokenizers import Tokenizer

from models.frozen import StudyError
from tasks import layout
from tasks.atomic import read_json, write_json
from tasks.documents import DOCUMENT_SCHEMA, read_shards, write_shards
from tasks.report import report
from tasks.report_page import removed_tokens
from tasks.report_page.evidence import gather
from tasks.report_page.flows import funnel_by_source
from tasks.report_page.plan_and_actual import rungs
from tasks.report_page.plot_tables import plot_tables
from tasks.report_page.svg import MARKERS, Series
from tasks.tokenize_corpus import tokenize_corpus
from tests.conftest import PROJECT
from tests.tasks import report_study

VOID = {"meta", "br", "path", "use", "rect"}
HOSTILE = "</bdi></pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">&amp;<!-- \x00\u202etxt"


class Page(HTMLParser):
    """Elements with their attributes, and text by element. Refuses what is not nested well."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or (tag in {"path", "use", "rect"} and not (self.get_starttag_text() or "").endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open[-1:]:
            self.text.setdefault(tag, []).append(data)

    def words(self, tag: str) -> str:
        return " ".join(" ".join(self.text.get(tag, [])).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with a study's products and its report."""
    folder = tmp_path_factory.mktemp("study")
    before = Path.cwd()
    os.chdir(folder)
    try:
        report(report_study.write_study())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch) -> Path:
    """A copy of it to spoil, which is the current directory."""
    shutil.copytree(written, tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    return tmp_path / "study"


def page() -> str:
    return (layout.REPORT / "index.html").read_text(encoding="utf-8")


def change_verdict(**changes) -> None:
    write_json(layout.FIT / "verdict.json", read_json(layout.FIT / "verdict.json") | changes)


def test_the_answer_comes_first(written):
    html = (written / "report/index.html").read_text()
    verdict = read_json(written / "results/fit/verdict.json")
    parsed = Page(html)
    assert parsed.words("h1") == verdict["sentence"]
    assert parsed.words("title").startswith("quality-uniform")
    order = [html.index(f'id="{name}"') for name in ("verdict", "scaling", "curation", "domains", "mixtures", "tables", "documents")]
    assert order == sorted(order)
    assert "300k-3x-seed2: it diverged after 369 of 369 steps" in html
    assert all(warning in html for warning in verdict["warnings"])


def test_one_file_that_loads_nothing(written):
    html = (written / "report/index.html").read_text()
    parsed = Page(html)
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "foreignobject"}
    policy = next(a["content"] for tag, a in parsed.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    references = [value for _, attributes in parsed.elements for name, value in attributes.items() if name in ("href", "src", "xlink:href")]
    assert references
    assert all(value is not None and value.startswith("#") for value in references)
    assert not re.search(r"@import|url\((?!#)", html)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in references if value} <= set(ids)
    assert len(html.encode()) < 2_000_000


def test_figures_are_text_in_the_colours_of_the_scheme(written):
    html = (written / "report/index.html").read_text()
    parsed = Page(html)
    assert sum(tag == "svg" for tag, _ in parsed.elements) == 8
    assert "predicted loss at the target (lower is better)" in parsed.words("text")
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawn)) == set()
    assert "quality-uniform: predicted" in parsed.words("title")


def written_files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(layout.REPORT.rglob("*")) if path.is_file()}


def test_what_a_classifier_is_worth_is_told(written):
    cells = Page((written / "report/index.html").read_text()).words("td")
    assert "quality-classifier auc 0.9137 quality-classifier calibration, mean score 0.25 in 40 texts: share of reference 0.2" in cells


def test_same_study_same_bytes(folder):
    first = written_files()
    assert len(first) == 13
    report(report_study.study())
    assert written_files() == first


@pytest.mark.slow
def test_same_bytes_in_another_process(folder):
    first = written_files()
    code = "from tasks.report import report; from tests.tasks.report_study import study; report(study())"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": "7"}, check=True)
    assert written_files() == first


def test_text_is_never_markup(folder):
    document = {"id": f"x/{HOSTILE}", "text": HOSTILE, "source": "encyclopedia", "domain": "hostile", "license": HOSTILE}
    for corpus in ("pool", "raw"):
        write_shards(layout.kept(corpus), [*read_shards(layout.kept(corpus)), pa.Table.from_pylist([document], DOCUMENT_SCHEMA)], DOCUMENT_SCHEMA)
    tokenize_corpus(report_study.study(), "raw")
    found = read_json(layout.CORPORA / "clean/steps.json")
    found[0]["record"]["sample"][0] |= {"text": HOSTILE, "document": HOSTILE}
    write_json(layout.CORPORA / "clean/steps.json", found)
    change_verdict(sentence=HOSTILE, to_tell=HOSTILE, warnings=[HOSTILE])
    report(report_study.study().model_copy(update={"question": HOSTILE}))
    parsed = Page(page())
    assert not {tag for tag, _ in parsed.elements} & {"script", "img", "pre"}
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    shown = HOSTILE.replace("\x00", "␀").replace("\u202e", "⟨U+202E⟩")
    assert "".join(parsed.text["bdi"]).count(shown) >= 3, "among the pool's documents, and among those that `clean` does not have"
    assert shown in "".join(parsed.text["mark"])
    assert "\x00" not in page()
    assert "\u202e" not in page()


def test_every_way_of_predicting_is_shown_with_its_back_tests(folder):
    report(report_study.study())
    words = Page(page()).words("td")
    for method in ("combination", "law", "single-scale"):
        assert method in words
    assert words.count("size 300k") >= 3 and words.count("size 100k") >= 3
    assert "The combination of law and single scale speaks" in Page(page()).words("p")
    assert "No mixtures were left out: 2 share a recipe (clean)" in Page(page()).words("p")


def test_the_plan_stands_beside_what_was_trained(folder):
    study = report_study.study()
    *each, all_of_them = rungs(gather(study))
    runs = len(study.mixtures) * len(study.ladder.seeds)
    assert [row.planned_runs for row in each] == [runs] * len(each) and all_of_them.planned_runs == runs * len(each)
    assert (all_of_them.completed_runs, all_of_them.diverged_runs) == (all_of_them.planned_runs - 1, 1)
    assert all_of_them.tokens == sum(row.tokens for row in each) and all_of_them.planned_flops == pytest.approx(
        sum(row.planned_flops for row in each)
    )
    short = layout.RUNS / "clean-natural/300k-3x-seed1/result.json"
    result = read_json(short)
    write_json(short, result | {"steps": result["steps"] // 3, "tokens_seen": result["tokens_seen"] // 3, "train_flops": result["train_flops"] / 3})
    shorter = rungs(gather(study))[-1]
    assert shorter.planned_tokens == all_of_them.planned_tokens and shorter.tokens < all_of_them.tokens
    assert shorter.planned_flops == pytest.approx(all_of_them.planned_flops) and shorter.flops < all_of_them.flops
    report(study)
    assert "Plan and actual" in Page(page()).words("h3")


def test_cannot_tell_and_nothing_fitted(folder):
    nothing = {"predicted_loss": None, "probability_best": None, "law": None, "refused": "3 runs are too few"}
    mixtures = [row | nothing for row in read_json(layout.FIT / "verdict.json")["mixtures"]]
    change_verdict(winner=None, sentence="Cannot tell: no law.", mixtures=mixtures, to_tell=None)
    change_verdict(method=None, method_reason=None, methods={}, back_tests=[], mixture_back_test=None)
    change_verdict(expected_regret=None, noise_floor=None, signal_to_noise=None, probability_better={})
    write_json(layout.FIT / "laws.json", read_json(layout.FIT / "laws.json") | {"mixtures": {}, "noise": None})
    report(report_study.study())
    parsed = Page(page())
    assert parsed.words("title").startswith("Cannot tell")
    assert "no law was fitted" in parsed.words("p")
    assert "There is no back-test" in parsed.words("p")
    assert parsed.words("li").count("3 runs are too few") == 4
    assert parsed.words("dd").startswith("–")
    assert (layout.REPORT / "plots/verdict.csv").read_text() == "mixture,predicted_loss,low,high,probability_best\n"


def test_what_was_not_measured_is_not_shown(folder):
    for path in layout.EVALUATIONS.glob("*.parquet"):
        rows = pl.read_parquet(path)
        versions = pl.when(benchmark="title-choice", mixture="raw-natural").then(pl.lit("v2")).otherwise("version")
        rows = rows.with_columns(version=versions, value=pl.when(benchmark="heldout/code").then(None).otherwise("value"))
        rows.filter(pl.col("benchmark") != "definition-choice").write_parquet(path)
    report(report_study.study())
    html = page()
    assert "title-choice was evaluated in different versions" in html
    assert 'id="benchmarks"' not in html
    assert len(plot("benchmarks")) == 0
    assert {row["domain"] for row in plot("bits_per_byte_by_domain")} == set(report_study.TEXTS) - {"code"}


def plot(name: str) -> list[dict[str, str]]:
    with (layout.REPORT / "plots" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_plots_hold_what_the_stages_wrote(folder):
    (run,) = [row for row in plot("loss_by_compute") if (row["mixture"], row["run"]) == ("clean-natural", "300k-3x-seed1")]
    assert float(run["train_flops"]) == 6 * 505_000 * 3 * 505_000
    assert not [row for row in plot("loss_by_compute") if (row["mixture"], row["run"]) == ("raw-natural", "300k-3x-seed2")]

    rows = pl.read_parquet(layout.EVALUATIONS / "clean-natural.parquet").filter(benchmark="heldout/legal", size="300k", tokens=3 * 505_000)
    (legal,) = [row for row in plot("bits_per_byte_by_domain") if (row["mixture"], row["domain"]) == ("clean-natural", "legal")]
    assert float(legal["bits_per_byte"]) == pytest.approx(rows["value"].mean())
    assert (float(legal["low"]), float(legal["high"]), int(legal["seeds"])) == (rows["value"].min(), rows["value"].max(), 2)

    steps = [row["step"] for row in plot("funnel") if row["recipe"] == "quality"]
    assert steps == ["sources", "heldout", "near-heldout", *report_study.STEPS["clean"], *report_study.STEPS["quality"]]
    last = [row for row in plot("funnel") if row["recipe"] == "quality"][-1]
    assert int(last["documents"]) == sum(pl.read_parquet(path).height for path in layout.kept("quality").glob("*.parquet"))
    assert [row["step"] for row in plot("funnel") if row["recipe"] == "raw"] == ["sources", "heldout", "near-heldout"]

    curves = [row for row in plot("training_curves") if (row["mixture"], row["run"]) == ("clean-natural", "300k-3x-seed1")]
    assert len(curves) == 60
    metrics = pl.read_ndjson(layout.RUNS / "clean-natural/300k-3x-seed1/metrics.jsonl")
    assert int(curves[-1]["tokens"]) == metrics["tokens"].max()
    assert float(curves[0]["train_loss"]) == pytest.approx(metrics["train_loss"].head(7).mean())

    (weights,) = [row for row in plot("tokens_by_domain") if (row["mixture"], row["domain"]) == ("quality-uniform", "legal")]
    assert float(weights["weight"]) == pytest.approx(1 / 7)
    assert float(weights["target_tokens"]) == pytest.approx(200e6 / 7)
    assert {(row["metric"] == "accuracy", row["chance"]) for row in plot("benchmarks")} == {(True, "0.25"), (False, "")}


def tokenized(paths: str, **of: str) -> int:
    """Tokens of the documents in shards, ends of text included, by the study's tokenizer."""
    tokenizer = Tokenizer.from_file(str(layout.TOKENIZER / "tokenizer.json"))
    texts = pl.read_parquet(paths).filter(**of)["text"].to_list()
    return sum(len(encoding.ids) + 1 for encoding in tokenizer.encode_batch(texts))


def test_tokens_are_counted_through_every_step_of_every_source(folder):
    for source in ("verses", "legal"):
        steps = [row for row in plot("funnel_by_source") if row["recipe"] == "quality" and row["source"] == source]
        assert [row["counted"] for row in steps] == ["true"] * len(steps)
        removed = [tokenized("data/heldout/*.parquet", source=source)]
        for corpus, names in report_study.STEPS.items():
            removed += [tokenized(f"data/corpora/{corpus}/removed/*.parquet", source=source, step=step) for step in names if step != "heldout"]
        behind = tokenized("data/corpora/quality/kept/*.parquet", source=source)
        assert [int(row["tokens"]) for row in steps] == [behind + sum(removed[order:]) for order in range(len(removed) + 1)]
    (reason,) = [row for row in plot("removed") if (row["step"], row["reason"], row["source"]) == ("gopher-quality", "min_words", "legal")]
    assert int(reason["tokens"]) == tokenized("data/corpora/clean/removed/*.parquet", reason="min_words", source="legal")


def test_an_estimate_is_called_one(folder, monkeypatch):
    monkeypatch.setattr(removed_tokens, "TOKENIZED_BYTES", 1)  # one document of each group
    rewritten = pl.read_parquet("data/corpora/clean/removed/*.parquet").with_columns(text=pl.col("text") + "!")
    rewritten.write_parquet("data/corpora/clean/removed/part-00000.parquet")
    (found,) = (
        removed_tokens.removed_tokens("clean", "raw", 0, removed_tokens.study_tokenizer()).filter(reason="min_words", source="legal").to_dicts()
    )
    of = {"reason": "min_words", "source": "legal"}
    assert found["documents"] == rewritten.filter(**of).height > 1 and not found["counted"]
    assert found["tokens"] == pytest.approx(tokenized("data/corpora/clean/removed/*.parquet", **of), rel=0.1)


def test_before_a_step_that_rewrote_there_were_as_many_tokens_per_byte(folder):
    rows = read_json(layout.funnel("clean"))
    for row in rows:
        if row["step"] == "normalize" and row["domain"] == "legal":
            for flow in (row, row["by_source"]["legal"]):
                flow["bytes_in"] *= 2
    write_json(layout.funnel("clean"), rows)
    (before, after) = funnel_by_source(gather(report_study.study())).filter(recipe="clean", source="legal").to_dicts()[2:4]
    assert (before["step"], before["counted"], after["counted"]) == ("near-heldout", True, True), "raw is tokenized, so the pool is counted"
    study = report_study.study()
    recipes = {name: recipe for name, recipe in study.recipes.items() if name != "raw"}
    mixtures = {name: mixture for name, mixture in study.mixtures.items() if mixture.recipe in recipes}
    alone = study.model_copy(update={"recipes": recipes, "mixtures": mixtures})
    (before, after) = funnel_by_source(gather(alone)).filter(recipe="clean", source="legal").to_dicts()[2:4]
    assert (before["tokens"], before["counted"], after["counted"]) == (2 * after["tokens"], False, True)


def test_what_decontamination_found_is_shown(written):
    page = Page((written / "report/index.html").read_text())
    assert "heldout/legal legal/58 2" in page.words("td")
    assert page.words("mark") == report_study.PIECE
    assert "legal/58 decontaminate" not in page.words("td"), "it is no number that a step learned"


def test_recipes_are_compared_with_what_they_continue_and_with_their_neighbours(written):
    page = Page((written / "report/index.html").read_text())
    headings = re.findall(r"\w+ drops [\d,]+ of the [\d,]+ documents that \w+ keeps", page.words("h3"))
    kept = {name: pl.read_parquet(written / f"data/corpora/{name}/kept/*.parquet").height for name in ("raw", "clean", "quality")}
    assert headings == [
        f"{drops} drops {kept[keeps] - kept[drops]} of the {kept[keeps]} documents that {keeps} keeps"
        for keeps, drops in (("clean", "quality"), ("raw", "clean"))
    ]
    assert page.words("td").count("top-fraction below the top fraction") > 1


def test_what_lies_beside_the_study_is_left_out(folder):
    before = plot_tables(gather(report_study.study()))
    shutil.copytree(layout.RUNS / "raw-natural", layout.RUNS / "abandoned")
    shutil.copytree(layout.CORPORA / "clean", layout.CORPORA / "forgotten")
    after = plot_tables(gather(report_study.study()))
    assert all(after[name].equals(table) for name, table in before.items())


def test_a_missing_stage_is_named_and_the_last_report_stays(folder):
    before = page()
    (layout.FIT / "verdict.json").unlink()
    with pytest.raises(StudyError, match=r"needs results/fit/verdict.json, which is not there: run the stages"):
        report(report_study.study())
    assert page() == before


def test_mixtures_beyond_the_palette_still_differ():
    series = Series([f"m{i}" for i in range(2 * len(MARKERS))])
    assert len({series.color(f"m{i}") for i in range(len(MARKERS))}) == len(MARKERS)
    assert len({(series.color(name), series.marker(name)) for name in series.number}) == 2 * len(MARKERS)


def dvc_plots() -> list[tuple[str, dict]]:
    return [item for entry in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["plots"] for item in entry.items()]


def test_dvc_plots_name_what_is_there(written):
    named = set()
    for title, definition in dvc_plots():
        ((path, y),) = definition["y"].items()
        header = (written / path).read_text().splitlines()[0].split(",")
        assert {definition["x"], y} <= set(header), title
        template = json.loads((PROJECT / ".dvc/plots" / f"{definition['template']}.json").read_text())
        assert template["data"] == {"values": "<DVC_METRIC_DATA>"}
        named.add(Path(path).name)
    assert named == {path.name for path in (written / "report/plots").iterdir()}


@pytest.mark.slow
def test_dvc_draws_every_plot(written, tmp_path):
    shutil.copytree(written / "report", tmp_path / "report")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": [dict([item]) for item in dvc_plots()]}))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    shutil.copytree(PROJECT / ".dvc/plots", tmp_path / ".dvc/plots")
    shown = subprocess.run([sys.executable, "-m", "dvc", "plots", "show", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    plots = json.loads(shown.stdout)
    assert "errors" not in plots
    assert set(plots["data"]) == {title for title, _ in dvc_plots()}
    tables = {title: written / next(iter(definition["y"])) for title, definition in dvc_plots()}
    empty = {title for title, path in tables.items() if len(path.read_text().splitlines()) == 1}
    assert empty == {title for title, drawn in plots["data"].items() if not drawn} == {"Bits per byte by tokens seen"}, "this study has no snapshots"
    for title in tables.keys() - empty:
        (plot,) = plots["data"][title]
        assert plot["content"]["data"]["values"], title
        assert "<DVC_METRIC_" not in json.dumps(plot["content"]), title
