"""`assay mix` on the runs of arXiv 2407.01492 (../shared/tables/README.md). The tables are not part of the project."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from models.mixture_laws.feasible import FeasibleMixtures
from models.mixture_laws.law import MixtureRuns
from models.mixture_laws.optimiser import best_mixture
from models.mixture_laws.search import search
from tasks.mixture_tables import read_keyed, read_mixtures
from tests.models.mixture_laws.trial_law import TrialLaw

FOLDER = Path(__file__).parents[3] / "shared/tables/regmix"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"the published runs are not there: {FOLDER}")
TRAIN = ["--mixtures", f"{FOLDER}/train_mixture_1m.csv", "--losses", f"{FOLDER}/train_pile_loss_1m.csv", "--on", "index"]
TEST = ["--test-mixtures", f"{FOLDER}/test_mixture_60m.csv", "--test-losses", f"{FOLDER}/test_pile_loss_60m.csv"]


def answer(*arguments: str) -> dict:
    done = CliRunner().invoke(app, ["mix", *arguments, "--json"])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_all_rounded_rows_are_used_and_matched_by_name():
    it = answer("fit", *TRAIN, "--target", "pile_cc", "--law", "linear", *TEST)
    assert it["target"] == "metric/the_pile_pile_cc_val_loss" and it["rows"] == {"read": 512, "used": 512, "dropped": []}
    assert it["test"]["n"] == 256 and it["test"]["spearman"] > 0.85  # measured: .893 by weights


def test_a_proposal_keeps_to_the_tokens_of_the_pile(tmp_path: Path, capsys):
    """Sizes are the runs' mean shares, as RegMix draws its mixtures around the natural ones."""
    mixtures = read_mixtures(f"{FOLDER}/train_mixture_1m.csv", "index")
    shares = mixtures.values_nc.mean(axis=0)
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("domain,tokens\n" + "".join(f"{name},{share * 3e10}\n" for name, share in zip(mixtures.columns, shares, strict=True)))
    limits = ["--target-tokens", "1e11", "--available", str(tokens), "--max-epochs", "8", "--kl", "0.3"]
    it = answer("propose", *TRAIN, "--target", "mean", "--law", "linear", *limits, "--next", "8")
    assert max(it["epochs"].values()) <= 8 + 1e-9 and it["reference"]["kl"] <= 0.3 + 1e-9 and len(it["next"]) == 8
    assert it["predicted"]["value"] < it["reference"]["value"] and it["support"]["typical_distance"] > 0
    with capsys.disabled():
        print(f"\nmean of 13 losses: proposal {it['predicted']['value']:.3f}, natural {it['reference']['value']:.3f}; {it['support']['statement']}")


@pytest.mark.slow
def test_search_on_a_surface_fitted_to_these_runs(capsys):
    """The mean loss of all 512 runs, interpolated, is the truth; CLIMB's 64, 32 and 16 runs against 112 at once, three seeds."""
    mixtures, losses = read_mixtures(f"{FOLDER}/train_mixture_1m.csv", "index"), read_keyed(f"{FOLDER}/train_pile_loss_1m.csv", "index")
    weights_nd, losses_n1 = mixtures.values_nc, losses.values_nc.mean(axis=1, keepdims=True)
    truth = TrialLaw().fit(MixtureRuns(mixtures.columns, ("mean",), weights_nd, losses_n1), np.ones(1)).predict
    feasible = FeasibleMixtures(np.zeros(17), np.ones(17), weights_nd.mean(axis=0))
    lowest = truth(best_mixture(truth, feasible, weights_nd, seed=0)[None])[0]

    def regrets(runs_per_round: tuple[int, ...], seed: int) -> list[float]:
        rng = np.random.default_rng(seed)
        train = lambda weights_md: (truth(weights_md) + 0.01 * rng.standard_normal(len(weights_md)))[:, None]  # noqa: E731
        rounds = search(TrialLaw(), train, feasible, mixtures.columns, ("mean",), np.ones(1), runs_per_round, seed)
        return [float(truth(it.best_d[None])[0] - lowest) for it in rounds]

    iterated, at_once = (np.mean([regrets(budget, seed) for seed in range(3)], axis=0) for budget in ((64, 32, 16), (112,)))
    with capsys.disabled():
        print(f"\nregret after 64, 96 and 112 runs: {', '.join(f'{it:.3f}' for it in iterated)}; of 112 at once: {at_once[0]:.3f}")
    assert iterated[2] < iterated[0] and iterated[2] < at_once[0]
