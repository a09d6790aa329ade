"""A small, plausible study's products, written through the real records and schemas: what the report reads."""

import math
import random
from pathlib import Path

import polars as pl
import pyarrow as pa

from tasks import layout
from tasks.atomic import write_json
from tasks.benchmarks.choice_metrics import ACCURACY, CORRECT_CHOICE_LOG_LIKELIHOOD, MARGIN
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, write_shards
from tasks.evaluation_table import BITS_PER_BYTE, EVALUATION_SCHEMA, HELDOUT
from tasks.fit import fit
from tasks.run_directory import RunResult
from tasks.steps.funnel import FlowCounter
from tasks.study import Study
from tasks.tokenize_corpus import tokenize_corpus
from tasks.train_tokenizer import train_bpe
from tests.tasks.sample_run import run_result

TEXTS = {
    "encyclopedia": "Ada Lovelace\n\nAugusta Ada King, Countess of Lovelace, was an English mathematician and writer, chiefly known for her work on "
    "Charles Babbage's proposed mechanical general-purpose computer, the Analytical Engine.",
    "dictionary": "lenity\n\nThe state or quality of being lenient; mildness of temper or disposition; gentleness of treatment; softness; "
    "tenderness; clemency; -- opposed to severity and rigor.\n[1913 Webster]",
    "legal": "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following "
    "conditions are met: 1. Redistributions of source code must retain the above copyright notice.",
    "api": "<p>Specifies the <code>Content-Type</code> of the object. If you don't specify it, the default is <code>binary/octet-stream</code>.</p>",
    "code": 'def get_available_name(self, name, max_length=None):\n    """\n    Return a filename that\'s free on the storage system.\n    """\n'
    "    head, tail = os.path.split(name)\n",
    "literature": "HAMLET. To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\nThe slings and arrows of "
    "outrageous fortune,\nOr to take arms against a sea of troubles,\nAnd by opposing end them.",
    "foreign": "La tour Eiffel est une tour de fer puddlé de 330 m de hauteur située à Paris, à l’extrémité nord-ouest du parc du Champ-de-Mars "
    "en bordure de la Seine, dans le 7e arrondissement.",
}
SOURCES = {domain: domain for domain in TEXTS} | {"verses": "literature"}
LICENSES = {"encyclopedia": "CC-BY-SA-4.0", "dictionary": "GPL-3.0-or-later", "legal": "CC-BY-4.0", "api": "Apache-2.0", "code": "BSD-3-Clause"}
# (reason, value, threshold) of what each step drops
STEPS = {
    "pool": {"heldout": [("heldout", None, None)], "near-heldout": [("heldout-near-duplicate", 0.91, 0.7)]},
    "clean": {
        "normalize": [],
        "language": [("language", 0.41, 0.5)],
        "gopher-quality": [("min_words", 31.0, 50.0), ("max_hash_ratio", 0.22, 0.1)],
        "exact-duplicates": [("exact duplicate", None, None)],
        "near-duplicates": [("near-duplicate", 0.86, 0.8)],
        "decontaminate": [("overlaps with heldout/legal", 0.75, 0.5)],
    },
    "quality": {"quality-classifier": [], "top-fraction": [("below the top fraction", 0.18, 0.55)]},
}
# how much each mixture's log-loss lies above clean-natural's
EFFECTS = {"raw-natural": 0.05, "clean-natural": 0.0, "clean-uniform": -0.045, "quality-uniform": -0.12}
FOUND = {"benchmark": "heldout/legal", "item": "legal/58", "documents": 2}
PIECE = "redistribution and use in source and binary forms with"
SHARES = {"raw": 1.0, "clean": 0.71, "quality": 0.38}  # of the pool's tokens
SIZES = {"30k": 96_000, "100k": 230_000, "300k": 505_000}
TARGET = (10e6, 200e6)


def study() -> Study:
    return Study.model_validate(
        {
            "name": "filters",
            "question": "Does filtering pay, and how much, when the model must be good at all domains alike?",
            "local_sources": {name: {"path": f"{name}.jsonl", "domain": domain, "license": LICENSES.get(name)} for name, domain in SOURCES.items()},
            "recipes": {
                "raw": {"from": "pool"},
                "clean": {"from": "pool", "steps": [{"step": step} for step in STEPS["clean"]]},
                "quality": {
                    "from": "clean",
                    "steps": [{"step": "quality-classifier", "reference_domains": ["encyclopedia"]}, {"step": "top-fraction", "fraction": 0.5}],
                },
            },
            "mixtures": {name: {"recipe": name.split("-")[0], "weights": name.split("-")[1]} for name in EFFECTS},
            "ladder": {"sizes": list(SIZES), "tokens_per_parameter": [1, 3], "seeds": [1, 2]},
            "target": {"num_params": TARGET[0], "tokens": TARGET[1], "bootstraps": 60},
        }
    )


def write_study(diverged: str = "raw-natural/300k-3x-seed2") -> Study:
    """Writes data/ and results/ of a whole study into the current directory."""
    chance = random.Random(0)
    _write_corpora(chance)
    train_bpe(iter(TEXTS.values()), 400).save_pretrained(layout.TOKENIZER)
    for recipe in SHARES:
        tokenize_corpus(study(), recipe)
    losses = _write_runs(chance, diverged)
    _write_evaluations(chance, losses)
    fit(study())
    return study()


def _write_corpora(chance: random.Random) -> None:
    pool = [_document(chance, number, source) for number, source in enumerate([*SOURCES] * 24)]
    pool = _write_corpus("pool", pool, STEPS["pool"], chance, 0.04)
    _write_corpus("raw", pool, {}, chance, 0)
    clean = _write_corpus("clean", pool, STEPS["clean"], chance, 0.09)
    _write_corpus("quality", clean, STEPS["quality"], chance, 0.45)
    overlap = {"document": "legal/3", "beginning": TEXTS["legal"], "benchmark": "heldout/legal", "item": "legal/58", "share": 0.75, "words": 9}
    found = {"benchmarks": {"heldout/legal": {"items": 5, "judged": 4, "documents": 2}}, "items": [FOUND], "sample": [overlap | {"text": PIECE}]}
    write_json(layout.CORPORA / "clean" / "steps.json", [{"step": "decontaminate", "position": 5, "record": found}])
    record = {"auc": 0.9137, "calibration": [{"num_texts": 40, "mean_score": 0.25, "reference_share": 0.2}]}
    write_json(layout.CORPORA / "quality" / "steps.json", [{"step": "quality-classifier", "position": 0, "record": record}])


def _write_corpus(name: str, rows: list[dict], steps: dict[str, list], chance: random.Random, dropped_share: float) -> list[dict]:
    flows, removed = FlowCounter(), []
    for position, (step, reasons) in enumerate((steps or {"input": []}).items()):
        flows.count(position, "in", pa.Table.from_pylist(rows, DOCUMENT_SCHEMA))
        out = [row for row in rows if reasons and chance.random() < dropped_share]
        gone = []
        for row in out:
            reason, value, threshold = chance.choice(reasons)
            gone.append({**row, "step": step, "reason": reason, "value": value, "threshold": threshold})
        rows = [row for row in rows if row not in out]
        flows.count(position, "out", pa.Table.from_pylist(rows, DOCUMENT_SCHEMA))
        flows.count(position, "removed", pa.Table.from_pylist(gone, REMOVED_SCHEMA))
        removed += gone
    write_shards(layout.kept(name), [pa.Table.from_pylist(rows, DOCUMENT_SCHEMA)], DOCUMENT_SCHEMA)
    if name == "pool":  # held-out documents lie apart
        heldout = [row for row in removed if row["step"] == "heldout"]
        write_shards(layout.HELDOUT, [pa.Table.from_pylist(heldout, DOCUMENT_SCHEMA)], DOCUMENT_SCHEMA)
        removed = [row for row in removed if row not in heldout]
    write_shards(layout.removed(name), [pa.Table.from_pylist(removed, REMOVED_SCHEMA)], REMOVED_SCHEMA)
    write_json(layout.funnel(name), [row.model_dump() for row in flows.rows(list(steps or {"input": []}))])
    return rows


def _document(chance: random.Random, number: int, source: str) -> dict:
    domain = SOURCES[source]
    text = "\n\n".join([TEXTS[domain]] * chance.randint(1, 6)) + f"\n\n({source} {chance.randint(1, 9999)})"
    return {"id": f"{source}/{number}", "text": text, "source": source, "domain": domain, "license": LICENSES.get(source)}


def _tokens_by_domain(recipe: str) -> dict[str, int]:
    return {domain: int(rank * 700_000 * SHARES[recipe]) for rank, domain in enumerate(sorted(TEXTS), start=1)}


def _loss(mixture: str, num_params: float, tokens: float) -> float:
    return math.exp(EFFECTS[mixture]) * (1.05 + 55 * num_params**-0.36 + 92 * tokens**-0.36)


def _write_runs(chance: random.Random, diverged: str) -> dict[tuple[str, str], tuple[RunResult, float]]:
    losses = {}
    for mixture in EFFECTS:
        for size, num_params in SIZES.items():
            for ratio in (1, 3):
                for seed in (1, 2):
                    run = f"{size}-{ratio}x-seed{seed}"
                    loss = _loss(mixture, num_params, ratio * num_params) * math.exp(chance.gauss(0, 0.006))
                    result = _result(mixture, run, num_params, ratio * num_params, f"{mixture}/{run}" == diverged)
                    directory = layout.RUNS / mixture / run
                    write_json(directory / "result.json", result.model_dump(mode="json"))
                    _write_metrics(chance, directory / "metrics.jsonl", result, loss)
                    losses[mixture, run] = (result, loss)
    return losses


def _result(mixture: str, run: str, num_params: int, tokens: int, diverged: bool) -> RunResult:
    recipe, weighting = mixture.split("-")
    unique = _tokens_by_domain(recipe)
    weights = {d: 1 / len(TEXTS) if weighting == "uniform" else n / sum(unique.values()) for d, n in unique.items()}
    ended = {"status": "diverged", "final_train_loss": None} if diverged else {}
    return run_result(mixture, run, num_params, tokens, 4096, weights, unique, **ended)


def _write_metrics(chance: random.Random, path: Path, result: RunResult, loss: float) -> None:
    rows = []
    for step in range(1, result.steps + 1):
        train_loss = 3 * loss - 2.2 + 3.4 * math.exp(-step / 18) + 1.5 / step + chance.gauss(0, 0.04)
        rows.append({"step": step, "tokens": step * 4096, "train_loss": train_loss, "gradient_norm": 1.0, "learning_rate": 0.003})
    path.write_text(pl.DataFrame(rows).write_ndjson())


def _write_evaluations(chance: random.Random, losses: dict) -> None:
    for mixture in EFFECTS:
        rows = []
        for (of, _), (result, loss) in losses.items():
            if of != mixture or result.status != "completed":
                continue
            known = {"run_key": result.run_key, "run": result.run, "mixture": mixture, "size": result.size, "num_params": result.num_params}
            known |= {"tokens": result.tokens_seen, "seed": result.seed, "checkpoint": "final", "version": "v1"}
            for i, domain in enumerate(TEXTS):
                value = loss * (0.75 + 0.08 * i) * math.exp(chance.gauss(0, 0.012))
                rows.append({**known, "benchmark": HELDOUT + domain, "metric": BITS_PER_BYTE, "value": value, "stderr": 0.02, "count": 60})
            for benchmark in ("definition-choice", "title-choice"):
                accuracy = 0.25 + max(0, 3.4 - loss) * 0.2 + chance.gauss(0, 0.03)
                for metric, value, stderr in ((ACCURACY, accuracy, 0.043), (CORRECT_CHOICE_LOG_LIKELIHOOD, -0.8 * loss, 0.04), (MARGIN, -0.1, 0.02)):
                    rows.append({**known, "benchmark": benchmark, "metric": metric, "value": value, "stderr": stderr, "count": 100})
        layout.EVALUATIONS.mkdir(parents=True, exist_ok=True)
        pl.from_arrow(pa.Table.from_pylist(rows, EVALUATION_SCHEMA)).write_parquet(layout.EVALUATIONS / f"{mixture}.parquet")  # pyright: ignore
