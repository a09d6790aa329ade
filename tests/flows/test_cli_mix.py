"""`assay mix` as people run it: one JSON object or a page, errors in a sentence."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from models.frozen import StudyError
from tests.flows.program import assay
from tests.models.mixture_laws.trial_law import simulated

RUNS, KEYS, TRUTH = simulated(num_runs=40, num_domains=4, num_losses=2, noise_sd=0.005, seed=1)
TABLES = ["--mixtures", "m.csv", "--losses", "l.csv", "--on", "run"]
TEST_TABLES = ["--test-mixtures", "tm.csv", "--test-losses", "tl.csv"]
LIMITS = ["--target-tokens", "1e11", "--available", "tokens.csv", "--max-epochs", "4", "--kl", "0.2"]


def write(path: str, columns: Mapping[str, Sequence | np.ndarray], order: np.ndarray | None = None) -> None:
    rows = list(zip(*columns.values(), strict=True))
    rows = rows if order is None else [rows[i] for i in order]
    Path(path).write_text("".join(",".join(map(str, row)) + "\n" for row in [tuple(columns), *rows]))


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tests = np.random.default_rng(9).dirichlet(np.ones(4), 30)
    for names, keys, weights_nd, losses_nt in (
        (("m.csv", "l.csv"), KEYS, RUNS.weights_nd, RUNS.losses_nt),
        (("tm.csv", "tl.csv"), [f"t{i}" for i in range(30)], tests, TRUTH.losses(tests) - 1),
    ):
        write(names[0], {"run": list(keys)} | {f"w_{d}": list(column) for d, column in zip("abcd", weights_nd.T, strict=True)})
        write(names[1], {"run": list(keys)} | {f"val/{i}_loss": list(column) for i, column in enumerate(losses_nt.T)})
    write("tokens.csv", {"domain": ["w_a", "w_b", "w_c", "w_d"], "tokens": [2e9, 3e10, 5e10, 6e10]})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mix", *arguments])


def answer(*arguments: str) -> dict:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout, parse_constant=lambda it: pytest.fail(f"{it} in JSON"))


def refusal(*arguments: str) -> str:
    done = run(*arguments)
    assert isinstance(done.exception, StudyError) and not done.stdout, done.output
    return str(done.exception)


def test_fit_has_the_keys_that_are_promised():
    it = answer("fit", *TABLES, "--target", "mean", "--law", "linear", *TEST_TABLES)
    assert it["law"] == "linear" and it["candidates"] == {} and it["train_runs"] == 40
    test = it["test"]
    assert set(test) == {"n", "spearman", "pearson", "pairwise_accuracy", "regret", "mean_absolute_error"}
    assert test["n"] == 30 and test["spearman"] > 0.7 and test["pairwise_accuracy"] > 0.7 and test["regret"] >= 0
    assert test["mean_absolute_error"] == pytest.approx(1, abs=0.3)  # the test runs are of another scale, one lower
    assert answer("fit", *TABLES, "--target", "0_loss", "--law", "linear")["test"] is None


def test_auto_tells_its_evidence():
    it = answer("fit", *TABLES, "--target", "mean", "--runs", "20")
    assert it["law"] == "auto" and {"exp", "linear", "lightgbm", "gp"} <= set(it["candidates"]) and it["sentence"]
    assert "spearman_extrapolation" in it["candidates"]["gp"]


def test_regret_is_against_the_best_measured():
    it = answer("fit", *TABLES, "--target", "val/0_loss", "--law", "linear", "--test-mixtures", "m.csv", "--test-losses", "l.csv")
    assert it["test"]["regret"] in [pytest.approx(loss - RUNS.losses_nt[:, 0].min()) for loss in RUNS.losses_nt[:, 0]]


def test_propose_has_the_keys_that_are_promised():
    it = answer("propose", *TABLES, "--target", "mean", "--law", "linear", *LIMITS, "--next", "5", "--flops-per-run", "1e15", *TEST_TABLES)
    assert {"weights", "predicted", "reference", "epochs", "support", "next"} <= set(it)
    assert set(it["predicted"]) == {"value", "low", "high"} and {"value", "low", "high", "weights"} <= set(it["reference"])
    assert sum(it["weights"].values()) == pytest.approx(1, abs=1e-12) and it["weights"]["w_a"] <= 0.08
    assert it["epochs"]["w_a"] == pytest.approx(it["weights"]["w_a"] * 50) and max(it["epochs"].values()) <= 4 + 1e-9
    assert it["reference"]["kl"] <= 0.2 + 1e-9 and it["reference"]["weights"]["w_a"] == pytest.approx(2 / 142)
    assert len(it["next"]) == 5 and it["next"][4]["total_flops"] == 5e15
    assert it["test"]["n"] == 30 and 0 <= it["probability_better"] <= 1


def test_order_of_rows_and_columns_changes_nothing():
    def answers() -> list[dict]:
        asked = [*TABLES, "--target", "mean", "--law", "linear", "--runs", "30"]
        return [answer("fit", *asked), answer("propose", *asked, *LIMITS)]

    before, order = answers(), np.random.default_rng(0).permutation(40)
    a, b, c, d = RUNS.weights_nd.T
    write("m.csv", {"w_d": d, "w_a": a, "run": KEYS, "w_c": c, "w_b": b}, order)
    write("l.csv", {"val/1_loss": RUNS.losses_nt[:, 1], "val/0_loss": RUNS.losses_nt[:, 0], "run": KEYS}, order[::-1])
    assert answers() == before


def test_the_unit_of_losses_changes_no_weights():
    before = answer("propose", *TABLES, "--target", "mean", "--law", "linear", *LIMITS)
    write("l.csv", {"run": KEYS, "val/0_loss": RUNS.losses_nt[:, 0] / np.log(2), "val/1_loss": RUNS.losses_nt[:, 1] / np.log(2)})
    after = answer("propose", *TABLES, "--target", "mean", "--law", "linear", *LIMITS)
    assert after["weights"] == pytest.approx(before["weights"], abs=1e-3)
    assert after["predicted"]["value"] == pytest.approx(before["predicted"]["value"] / np.log(2), rel=1e-4)


def test_weighted_losses_and_one_loss():
    Path("w.json").write_text('{"val/0_loss": 0.5, "1_loss": 0.5}')
    weighted, mean = (answer("propose", *TABLES, "--target", target, "--law", "linear") for target in ("w.json", "mean"))
    assert weighted["weights"] == pytest.approx(mean["weights"], abs=1e-9)


def test_seeds_draw_other_runs():
    drawn = [answer("fit", *TABLES, "--target", "mean", "--law", "linear", *TEST_TABLES, "--runs", "10", "--seed", seed) for seed in "001"]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0]["train_runs"] == 10


def test_changed_domains_are_named_and_kept_runs_are_told():
    write("tokens.csv", {"domain": ["w_a", "w_b", "c1", "c2", "w_d", "new"], "tokens": [2e9, 3e10, 2e10, 3e10, 6e10, 1e10]})
    changes = ["--split", "w_c=c1+c2", "--added", "new"]
    it = answer("propose", *TABLES, "--target", "mean", "--law", "linear", *LIMITS, *changes)
    assert it["reuse"] == {"kept": 40, "set_aside": {}} and set(it["weights"]) == {"w_a", "w_b", "c1", "c2", "w_d", "new"}
    assert it["weights"]["new"] == 0 and it["weights"]["c2"] == pytest.approx(1.5 * it["weights"]["c1"])
    assert len(it["next"]) == 8 and len(it["warnings"]) == 3
    words = refusal("propose", *TABLES, "--target", "mean", "--law", "linear", "--revised", "w_a")
    assert "40: drew from a domain before its revision" in words and "--added NEW --max-share w_a=0" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "mena"], "There is no loss 'mena'"),
        (["--target", "loss"], "could be any of val/0_loss, val/1_loss"),
        (["--target", "mean", "--law", "lightgmb"], "did you mean 'lightgbm'"),
        (["--target", "mean", "--on", "index"], "no column 'index' in m.csv"),
        (["--target", "mean", "--runs", "41"], "--runs asks for 41 runs, and 40 can be used"),
        (["--target", "mean", "--runs", "2"], "2 different mixtures can be used"),
        (["--target", "mean", "--test-mixtures", "tm.csv"], "go together"),
        (["--target", "mean", "--test-mixtures", "tokens.csv", "--test-losses", "tl.csv"], "no column 'run' in tokens.csv"),
        (["--target", "mean", "--test-mixtures", "tm.csv", "--test-losses", "l.csv"], "only in tm.csv: t0, t1"),
        (["--target", "mean", "--law", "linear", "--plot", "fit.txt"], "its ending must be one of"),
    ],
)
def test_fit_refuses(arguments: list[str], words: str):
    assert words in refusal("fit", *TABLES, *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-epochs", "4"], "needs --available"),
        (["--max-epochs", "4", "--available", "tokens.csv"], "needs --target-tokens"),
        (["--target-tokens", "1e12", "--max-epochs", "4", "--available", "tokens.csv"], "4.32e+11 tokens are missing; allow 7.04 epochs"),
        (["--kl", "0"], "--kl is 0: it must be positive"),
        (["--min-share", "w_a"], "it takes DOMAIN=SHARE"),
        (["--min-share", "w_x=0.1"], "'w_x', which is no domain"),
        (["--split", "w_a=x"], "it takes OLD=NEW1+NEW2"),
        (["--revised", "w_x"], "'w_x' is said to be revised"),
        (["--added", "new", "--available", "tokens.csv"], "only in the mixtures: new"),
    ],
)
def test_propose_refuses(arguments: list[str], words: str):
    assert words in refusal("propose", *TABLES, "--target", "mean", "--law", "linear", *arguments)


def test_pages_and_plots():
    fitted = run("fit", *TABLES, "--target", "mean", "--law", "linear", *TEST_TABLES, "--plot", "fit.png")
    assert fitted.exit_code == 0 and "spearman" in fitted.stdout and "40 runs" in fitted.stdout
    proposed = run("propose", *TABLES, "--target", "mean", "--law", "linear", *LIMITS, "--next", "3", "--plot", "mixture.svg")
    assert proposed.exit_code == 0 and "the natural shares" in proposed.stdout and "upported" in proposed.stdout and "proposal" in proposed.stdout
    assert Path("fit.png").stat().st_size > 10_000 and Path("mixture.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_as_a_program():
    for law in ("auto", "lightgbm"):  # LightGBM prints from C
        done = assay("mix", "fit", *TABLES, "--target", "mean", "--law", law, "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["train_runs"] == 40, done.stderr
    done = assay("mix", "propose", *TABLES, "--target", "mena", "--json")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("assay: There is no loss 'mena'") and done.stderr.count("\n") == 1
