"""A study of any number of runs that DVC holds for done: real stages, real params, `dvc.lock` made by DVC; outputs of a few bytes instead of work."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import PROJECT

CODE = ("tasks", "models", "flows")


def settle(folder: Path, mixtures: int, seeds: int) -> None:
    """Writes the default study with so many mixtures of one size, one budget and so many seeds, with a `dvc.lock` that says that all is done."""
    for package in CODE:
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", "dvc.yaml"):
        shutil.copy(PROJECT / name, folder / name)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    shares = [(i + 1) / (mixtures + 1) for i in range(mixtures)]
    params["mixtures"] = {f"m{i:03d}": {"recipe": "clean", "weights": {"legal": share, "code": 1 - share}} for i, share in enumerate(shares)}
    params["ladder"] |= {"sizes": ["30k"], "tokens_per_parameter": [1], "seeds": list(range(1, seeds + 1))}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for path in outputs(folder, params):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the same bytes everywhere")
    first, *others = params["mixtures"]
    stages = ["ingest", "split", "steps", "curate", "tokenizer", "tokenize", f"pretrain@{first}", "items", f"evaluate@{first}", "fit", "report"]
    for command in (["init", "--no-scm"], ["config", "core.analytics", "false"], ["commit", "--force", *stages]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True, capture_output=True)
    repeat(folder / "dvc.lock", first, {name: params["mixtures"][name] for name in others})


def repeat(lock: Path, first: str, mixtures: dict[str, dict]) -> None:
    """Adds to `dvc.lock` what it would say of further mixtures, of which all files are those of the first: DVC itself would take hours."""
    locked = yaml.safe_load(lock.read_text())
    for stage in ("pretrain", "evaluate"):
        text = yaml.safe_dump(locked["stages"][f"{stage}@{first}"])
        for name, mixture in mixtures.items():
            entry = locked["stages"][f"{stage}@{name}"] = yaml.safe_load(text.replace(first, name))
            if stage == "pretrain":
                entry["params"]["params.yaml"][f"mixtures.{name}"] = mixture
    lock.write_text(yaml.safe_dump(locked, sort_keys=False))


def outputs(folder: Path, params: dict) -> list[Path]:
    """One file in each output of `dvc.yaml`; of a mixture, the result and the curve of each run."""
    files = [f"data/sources/{source}/part-0.parquet" for source in params["sources"]]
    files += ["data/heldout/part-0.parquet", "data/tokenizer/tokenizer.json", "data/items/own/a.yaml"]
    files += ["results/fit/verdict.json", "report/index.html"]
    files += [f"data/corpora/{corpus}/kept/part-0.parquet" for corpus in ("pool", *params["recipes"])]
    files += [f"data/{file.format(recipe)}" for recipe in params["recipes"] for file in ("tokens/{}/manifest.json", "steps/{}.json")]
    for mixture in params["mixtures"]:
        for seed in params["ladder"]["seeds"]:
            files += [f"results/runs/{mixture}/seed{seed}/{file}" for file in ("result.json", "metrics.jsonl", "model/model.safetensors")]
        files.append(f"results/evaluations/{mixture}.parquet")
    return [folder / file for file in files]
